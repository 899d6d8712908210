"""From a request to a command in the log and back to an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.consensus import Consensus
from nodes.rotation.log_clock import LogClock
from quiesce import errors
from quiesce.errors import QuiesceError
from quiesce.v1 import peer_pb2

# What makes the store grow, or keeps its tables from going. The rest must go on while a disk is full: leases end, nodes
# are replaced, and to drop a database makes room.
_GROWING = frozenset(
    {"write", "open_session", "create_database", "alter_schema", "publish_database", "drain", "checkpoint"}
)


class Proposals:
    """Proposes commands with the time of the log clock in them.

    `refusal` returns the error for what would need room on the disk, or None; `spend` is told the bytes that it takes.
    """

    def __init__(
        self,
        consensus: Consensus,
        clock: LogClock,
        refusal: Callable[[], QuiesceError | None] = lambda: None,
        spend: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._consensus = consensus
        self._clock = clock
        self._refusal = refusal
        self._spend = spend

    def check_takes(self, *kinds: str) -> None:
        """Check that commands of these kinds, named as in `Command`, would be taken now.

        Raises:
            NotLeader, NoLeader, Overloaded, DiskFull: they would not.
        """
        self._consensus.check_takes()
        if not _GROWING.isdisjoint(kinds) and (refusal := self._refusal()) is not None:
            raise refusal

    async def propose(self, *, timeout_s: float, **command: Any) -> peer_pb2.Outcome:
        """Propose one command, named as in `Command`, and return what it came to.

        Raises:
            NotLeader, NoLeader, Overloaded, DiskFull: nothing has happened.
            DeadlineExceeded, OutcomeUnknown: it may have happened.
            QuiesceError: the state refused it, with its reason.
        """
        # A large command is copied into the message: not for nothing.
        self.check_takes(*command)
        proposed = peer_pb2.Command(time_ms=self._clock.now_ms(), **command)
        if not _GROWING.isdisjoint(command):
            self._spend(proposed.ByteSize())
        outcome = await self._consensus.propose(proposed, timeout_s=timeout_s)
        if outcome.HasField("failure"):
            raise errors.from_reason(outcome.failure.reason, dict(outcome.failure.fields))
        return outcome
