"""What every client call passes first: the right cluster, not too many at once, and for reads the serving gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any

import grpc.aio

from nodes.rotation.gate import Gate, Serving
from quiesce.errors import DamagedStore, DiskFailed, NoLeader, OutOfRotation, Overloaded, QuiesceError, WrongCluster

Context = grpc.aio.ServicerContext[Any, Any]
CLUSTER_ID_KEY = "quiesce-cluster-id"
# A call without a deadline, or with a longer one, is given up after so many seconds.
LONGEST_WAIT_S = 10.0
_RETRY_MS = 100


def time_left(context: Context) -> float:
    """Return the seconds that a call may still wait for the cluster."""
    remaining = context.time_remaining()
    return LONGEST_WAIT_S if remaining is None else max(0.0, min(remaining, LONGEST_WAIT_S))


class Calls:
    """Counts client calls in and out.

    Args:
        node_id: this node.
        cluster_id: what a caller's `quiesce-cluster-id` must be, if it sends one.
        others: returns addresses of the other members, for those who are turned away.
        gate: the serving gate; reads pass it, changes do not (a leader out of rotation must go on writing).
        has_leader: whether this node knows a leader.
        on_damage: told what a read has met on the disk; it must not go on as if nothing were.
        max_requests: calls in flight; beyond, Overloaded.
        max_scans: scans among them.
    """

    def __init__(
        self,
        *,
        node_id: int,
        cluster_id: str,
        others: Callable[[], str],
        gate: Gate,
        has_leader: Callable[[], bool],
        on_damage: Callable[[QuiesceError], None],
        max_requests: int,
        max_scans: int,
    ) -> None:
        self.running = 0
        self.scanning = 0
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._others = others
        self._gate = gate
        self._has_leader = has_leader
        self._on_damage = on_damage
        self._max_requests = max_requests
        self._max_scans = max_scans
        self._reads: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def read(self, context: Context) -> ReadCall:
        """Return the context manager around a read of records or schema."""
        return ReadCall(self, context, scan=False)

    def scan(self, context: Context) -> ReadCall:
        """Return the context manager around a read that streams."""
        return ReadCall(self, context, scan=True)

    def change(self, context: Context) -> ChangeCall:
        """Return the context manager around a call that proposes."""
        return ChangeCall(self, context)

    def cut_reads(self) -> None:
        """End the reads that run with OutOfRotation."""
        now = asyncio.get_running_loop().time()
        for scope in list(self._reads):
            scope.reschedule(now)

    async def idle(self, timeout_s: float) -> bool:
        """Wait until nothing runs; return False if something still does after `timeout_s` seconds."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def check_cluster(self, context: Context) -> None:
        """Check which cluster the caller means.

        Raises:
            WrongCluster: another.
        """
        for key, value in context.invocation_metadata() or ():
            if key == CLUSTER_ID_KEY and value != self._cluster_id:
                raise WrongCluster(actual=self._cluster_id, expected=value)

    def enter(self, context: Context) -> None:
        """Count a call in.

        Raises:
            WrongCluster: it is for another.
            Overloaded: too many run.
        """
        self.check_cluster(context)
        if self.running >= self._max_requests:
            raise self.overloaded(self.running)
        self.running += 1
        self._idle.clear()

    def leave(self) -> None:
        """Count a call out."""
        self.running -= 1
        if self.running == 0:
            self._idle.set()

    def enter_read(self, scope: asyncio.Timeout, *, scan: bool) -> None:
        """Let a read pass the gate.

        Raises:
            OutOfRotation, NoLeader: the gate is closed.
            Overloaded: it is a scan, and too many run.
        """
        if scan and self.scanning >= self._max_scans:
            raise self.overloaded(self.scanning)
        if not self._gate.enter():
            raise self.refusal()
        self.scanning += scan
        self._reads.add(scope)

    def leave_read(self, scope: asyncio.Timeout, *, scan: bool) -> None:
        """Count a read out."""
        self.scanning -= scan
        self._reads.discard(scope)
        self._gate.leave()

    def damaged(self, error: QuiesceError) -> QuiesceError:
        """Take in what a read has met on the disk; return what its caller is told, who gets the same from others."""
        self._on_damage(error)
        return OutOfRotation(node_id=self._node_id, why=f"its disk: {error}", others=self._others())

    def overloaded(self, waiting: int) -> Overloaded:
        """Return the error for a call that is one too many."""
        return Overloaded(node_id=self._node_id, waiting=waiting, retry_ms=_RETRY_MS)

    def refusal(self) -> QuiesceError:
        """Return the error for a read that must be sent elsewhere."""
        if self._gate.state is Serving.CATCHING_UP and not self._has_leader():
            return NoLeader()
        why = self._gate.why
        if self._gate.state is Serving.CATCHING_UP:
            why = f"it is catching up: {why}"
        return OutOfRotation(node_id=self._node_id, why=why, others=self._others())


class ChangeCall:
    """Around a call that proposes; the value is the seconds it may wait."""

    __slots__ = ("_calls", "_context")

    def __init__(self, calls: Calls, context: Context) -> None:
        self._calls = calls
        self._context = context

    def __enter__(self) -> float:
        self._calls.enter(self._context)
        return time_left(self._context)

    def __exit__(self, *exc: object) -> None:
        self._calls.leave()


class ReadCall:
    """Around a read; the value is the seconds it may wait. When the gate cuts it, it ends with OutOfRotation.

    So does one that meets damage on this node's disk: the caller gets the same from another, and this node ends.
    """

    __slots__ = ("_calls", "_context", "_scan", "_scope")

    def __init__(self, calls: Calls, context: Context, *, scan: bool) -> None:
        self._calls = calls
        self._context = context
        self._scan = scan
        self._scope = asyncio.timeout(None)

    async def __aenter__(self) -> float:
        self._calls.enter(self._context)
        try:
            self._calls.enter_read(self._scope, scan=self._scan)
        except QuiesceError:
            self._calls.leave()
            raise
        await self._scope.__aenter__()
        return time_left(self._context)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError:
            raise self._calls.refusal() from None
        else:
            if isinstance(error, DamagedStore | DiskFailed):
                raise self._calls.damaged(error) from error
        finally:
            self._calls.leave_read(self._scope, scan=self._scan)
            self._calls.leave()
