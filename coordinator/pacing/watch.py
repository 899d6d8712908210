"""Asks the nodes of a cluster what clients wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from coordinator.job.impact import Calls, Wait
from quiesce.errors import DeadlineExceeded, InvalidRequest, QuiesceError
from quiesce.latency import Latencies
from quiesce.v1.latency_pb2 import ClientLatencyResponse

log = structlog.get_logger()

LOOK_TIMEOUT_S = 0.8


class Clients(Protocol):
    """The part of `quiesce.client.Admin` that this needs."""

    async def client_latency(self, node_id: int, *, since: int = 0, timeout_s: float = ...) -> ClientLatencyResponse:
        """See `Admin.client_latency`."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """What clients of all nodes waited since the look before; `seconds` is of the node that tells of the most."""

    seconds: int = 0
    reads: Latencies = field(default_factory=Latencies)
    writes: Latencies = field(default_factory=Latencies)
    answered: frozenset[int] = frozenset()
    # Cannot be reached; or there, and too slow to answer in time.
    gone: frozenset[int] = frozenset()
    overdue: frozenset[int] = frozenset()

    @property
    def silent(self) -> frozenset[int]:
        """Nodes that should have answered."""
        return self.gone | self.overdue

    @property
    def wait(self) -> Wait | None:
        """In short; None where no node has answered."""
        if not self.answered:
            return None
        return Wait(self.seconds, Calls.of(self.reads), Calls.of(self.writes))


class Watch:
    """Looks at some nodes again and again; each second of each node is seen once.

    A node that is too old to say is asked once, and is neither silent nor has it answered.
    """

    def __init__(self, nodes: Clients, members: Sequence[int]) -> None:
        self._nodes = nodes
        self._since = dict.fromkeys(members, 0)

    async def look(self) -> Look:
        """Return what was waited since the last look; at the first, in the last seconds. Takes a second at most."""
        asked = list(self._since)
        answers = await asyncio.gather(*map(self._ask, asked))
        seconds, reads, writes = 0, Latencies(), Latencies()
        answered, gone, overdue = set[int](), set[int](), set[int]()
        for node, answer in zip(asked, answers, strict=True):
            if isinstance(answer, ClientLatencyResponse):
                self._since[node] = answer.second
                seconds = max(seconds, answer.seconds)
                reads, writes = reads + Latencies.of(answer.reads), writes + Latencies.of(answer.writes)
                answered.add(node)
            elif isinstance(answer, InvalidRequest):
                del self._since[node]
            elif isinstance(answer, DeadlineExceeded):
                overdue.add(node)
            else:
                gone.add(node)
        return Look(seconds, reads, writes, frozenset(answered), frozenset(gone), frozenset(overdue))

    async def _ask(self, node: int) -> ClientLatencyResponse | QuiesceError:
        try:
            return await self._nodes.client_latency(node, since=self._since[node], timeout_s=LOOK_TIMEOUT_S)
        except QuiesceError as error:
            return error
        except Exception as error:  # noqa: BLE001 — whatever it is, a backup does not fail for it
            # Without its traceback: it comes again every second.
            found = QuiesceError(detail=f"{type(error).__name__}: {error}")
            log.warning("a node does not say what clients wait", node=node, error=found.message())
            return found
