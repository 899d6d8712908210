"""Metrics over HTTP, in Prometheus' text format.

A scrape is answered by a thread of its own; what it shows is asked for on the daemon's event loop, where it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from quiesce.errors import AddressInUse

# Less than the ten seconds that Prometheus waits for an answer.
_ANSWER_S = 8.0


def gauge(
    name: str, meaning: str, values: Iterable[tuple[Sequence[str], float]], labels: Sequence[str] = ()
) -> GaugeMetricFamily:
    """Return a metric with a value for each list of label values."""
    family = GaugeMetricFamily(f"quiesce_{name}", meaning, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def single(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    """Return a metric without labels."""
    return gauge(name, meaning, [((), value)])


class _OnLoop(Collector):
    def __init__(self, collect: Callable[[], Awaitable[list[Metric]]]) -> None:
        self._collect = collect
        self._loop = asyncio.get_running_loop()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of now; a daemon that does not answer in time fails the scrape, and Prometheus tells."""

        async def ask() -> list[Metric]:
            async with asyncio.timeout(_ANSWER_S):
                return await self._collect()

        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result(_ANSWER_S + 1)

    def describe(self) -> Iterable[Metric]:
        """Say nothing: what is there depends on what is asked."""
        return ()


@contextlib.contextmanager
def metrics_served(address: str, collect: Callable[[], Awaitable[list[Metric]]]) -> Iterator[int]:
    """Serve metrics at `host:port` from within a running event loop; empty: nowhere. Yields the port, 0 for none.

    Raises:
        AddressInUse: it cannot be listened on.
    """
    if not address:
        yield 0
        return
    host, _, port = address.rpartition(":")
    registry = CollectorRegistry()
    registry.register(_OnLoop(collect))
    try:
        server, _ = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise AddressInUse(address=address, detail=error.strerror or str(error)) from error
    try:
        yield server.server_port
    finally:

        def close() -> None:
            server.shutdown()
            server.server_close()

        # Not waited for here: an answer under way may wait for the very loop that this runs on.
        asyncio.get_running_loop().run_in_executor(None, close)
