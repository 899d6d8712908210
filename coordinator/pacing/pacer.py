"""Keeps the workers of one snapshot to a rate that clients can bear, and adds up what it cost them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import structlog

from coordinator.job.impact import ClientImpact, Wait
from coordinator.pacing.pace import Pace, Sample
from coordinator.pacing.tally import Tally
from coordinator.pacing.watch import LOOK_TIMEOUT_S, Look, Watch
from quiesce.errors import InvalidRequest, QuiesceError

log = structlog.get_logger()

# From one look to the next.
PERIOD_S = 1.0
# Who has not answered for so long serves no clients either: the rate need not wait for it.
GONE_S = 10.0


class Workers(Protocol):
    """The part of `quiesce.client.Admin` that this needs."""

    async def set_worker_rate(
        self, node_id: int, epoch: int, rate_limit: int, *, fence: int = 0, timeout_s: float = ...
    ) -> int:
        """See `Admin.set_worker_rate`."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What a snapshot is made under.

    Args:
        workers: nodes on which workers run: the replica, and those that attest.
        budget_ms: 0: nothing is kept to, only added up.
        rate_limit: the most bytes read a second; 0: no limit.
        before: what clients waited before the replica was taken out; None: not known.
    """

    epoch: int
    fence: int
    workers: Sequence[int]
    budget_ms: int = 0
    rate_limit: int = 0
    before: Wait | None = None


class Pacer:
    """Works while its context lasts. A fault in here is no fault of the backup, which goes on at the rate it has.

    Args:
        nodes: the cluster.
        watch: looks at what clients wait.
        terms: what the snapshot is made under.
        tell: told how it stands, once a second.
    """

    def __init__(
        self,
        nodes: Workers,
        watch: Watch,
        terms: Terms,
        tell: Callable[[ClientImpact], None],
    ) -> None:
        self._nodes = nodes
        self._watch = watch
        self._terms = terms
        self._tell = tell
        self._pace = Pace(terms.budget_ms, terms.rate_limit) if terms.budget_ms else None
        self._tally = Tally(terms.budget_ms, terms.before)
        self._read: dict[int, int] = {}
        self._read_before: dict[int, int] = {}
        self._sampled_at = 0.0
        self._heard_at: dict[int, float] = {}
        self._too_old: set[int] = set()
        self._task: asyncio.Task[None] | None = None
        if self._pace is not None:
            self._tally.allowed(self._pace.rate)

    @property
    def rate(self) -> int:
        """The most bytes that a worker may read a second; 0: no limit."""
        return self._pace.rate if self._pace is not None else self._terms.rate_limit

    @property
    def impact(self) -> ClientImpact:
        """What it has cost so far."""
        return self._tally.impact()

    def read(self, node_id: int, total: int) -> None:
        """Take note of the bytes that a worker has read so far."""
        self._read[node_id] = total

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        look = self._begin
        while True:
            try:
                await look()
            except Exception as error:  # noqa: BLE001 — whatever it is, a backup does not fail for it
                # Without its traceback: it comes again every second.
                log.warning("the pace of the backup was not looked after", error=f"{type(error).__name__}: {error}")
            look = self._turn
            await asyncio.sleep(PERIOD_S)

    async def _begin(self) -> None:
        # The time since the replica was taken out: it counts, but says nothing of workers.
        self._used()
        self._count(await self._watch.look())

    async def _turn(self) -> None:
        look = await self._watch.look()
        self._count(look)
        used = self._used()
        if self._pace is not None:
            before = self._pace.rate
            if look.seconds or look.silent:
                sample = Sample(
                    float(look.seconds or PERIOD_S),
                    look.reads,
                    look.writes,
                    blind=self._blind(look),
                    late_us=round(LOOK_TIMEOUT_S * 1e6) if look.overdue else 0,
                    used=used,
                )
                self._pace.observe(sample)
            if self._pace.rate != before:
                log.debug("the pace of the backup", rate=self._pace.rate)
            self._tally.allowed(self._pace.rate)
            await self._spread(self._pace.rate)
        self._tell(self.impact)

    def _count(self, look: Look) -> None:
        if look.answered:
            self._tally.add(look.reads, look.writes, float(look.seconds))

    def _blind(self, look: Look) -> bool:
        """Whether clients may wait somewhere without anybody saying so."""
        now = time.monotonic()
        for node in look.answered:
            self._heard_at[node] = now
        heard_lately = any(now - self._heard_at.setdefault(node, now) < GONE_S for node in look.gone)
        return heard_lately or not look.answered

    def _used(self) -> int | None:
        """Return how many bytes a second the fastest worker has read since the last call; None: none said."""
        now = time.monotonic()
        seconds, self._sampled_at = now - self._sampled_at, now
        read = [total - self._read_before.get(node, 0) for node, total in self._read.items()]
        self._read_before = dict(self._read)
        # A worker that was begun anew counts from nothing.
        return round(max([0, *read]) / seconds) if read and seconds > 0 else None

    async def _spread(self, rate: int) -> None:
        """Tell every worker, also what it was told before: it may have been started, or started anew, since."""
        await asyncio.gather(*(self._say(node, rate) for node in self._terms.workers if node not in self._too_old))

    async def _say(self, node: int, rate: int) -> None:
        terms = self._terms
        try:
            await self._nodes.set_worker_rate(node, terms.epoch, rate, fence=terms.fence, timeout_s=LOOK_TIMEOUT_S)
        except InvalidRequest:
            # It keeps to the rate that its worker was started at.
            log.warning("a node is too old to be told the pace of a backup", node=node)
            self._too_old.add(node)
        except QuiesceError as error:
            # Without a lease, or away for a moment: the job hears of it where it matters.
            log.debug("a node was not told the pace of the backup", node=node, error=error.message())
