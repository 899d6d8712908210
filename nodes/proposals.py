"""From a request to a command in the log and back to an answer."""

from __future__ import annotations

from typing import Any

from nodes.consensus import Consensus
from nodes.rotation.log_clock import LogClock
from quiesce import errors
from quiesce.v1 import peer_pb2


class Proposals:
    """Proposes commands with the time of the log clock in them."""

    def __init__(self, consensus: Consensus, clock: LogClock) -> None:
        self._consensus = consensus
        self._clock = clock

    async def propose(self, *, timeout_s: float, **command: Any) -> peer_pb2.Outcome:
        """Propose one command, named as in `Command`, and return what it came to.

        Raises:
            NotLeader, NoLeader, Overloaded: nothing has happened.
            DeadlineExceeded, OutcomeUnknown: it may have happened.
            QuiesceError: the state refused it, with its reason.
        """
        outcome = await self._consensus.propose(
            peer_pb2.Command(time_ms=self._clock.now_ms(), **command), timeout_s=timeout_s
        )
        if outcome.HasField("failure"):
            raise errors.from_reason(outcome.failure.reason, dict(outcome.failure.fields))
        return outcome
