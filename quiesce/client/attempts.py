"""The attempts of one call: how long each may take, what a failed one means, and what to raise at the end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import Enum
from random import Random

from quiesce.client.direct import never_sent
from quiesce.client.routing import Answered, Event, Failed, NotServing, NotTheLeader, Routing
from quiesce.errors import (
    AwaitingRestore,
    DeadlineExceeded,
    NoLeader,
    NotLeader,
    OutcomeUnknown,
    OutOfRotation,
    QuiesceError,
    Unavailable,
)

# An attempt may take longer than one before that took too long: a call that is slow by its nature gets through.
GROWTH = 1.5
FIRST_PAUSE_S = 0.02
LAST_PAUSE_S = 1.0
# With less time left than this an attempt is not worth its start.
LEAST_S = 0.005


class Effect(Enum):
    """What a second try does when the first one's answer was lost."""

    # The call changes nothing.
    NONE = "none"
    # A second try finds the first one done and gives the same answer.
    SAME = "same"
    # A second try would do it twice, or fail because it is done.
    TWICE = "twice"


def ambiguous(error: QuiesceError) -> bool:
    """Whether the call may have had its effect although it failed."""
    return isinstance(error, DeadlineExceeded | OutcomeUnknown | Unavailable) and not never_sent(error)


def said_by(address: str, error: QuiesceError) -> Event:
    """Return what an error tells of the node that it came from."""
    match error:
        case NotLeader():
            return NotTheLeader(address, error.fields.get("leader_address", ""))
        case NoLeader() | OutcomeUnknown():
            return NotTheLeader(address, "")
        case OutOfRotation() | AwaitingRestore():
            return NotServing(address)
        case Unavailable() | DeadlineExceeded():
            return Failed(address)
        case _:
            return Answered(address)


@dataclass(slots=True)
class Attempts:
    """The attempts of one call; times are seconds of the monotonic clock."""

    operation: str
    effect: Effect
    started_s: float
    timeout_s: float
    attempt_timeout_s: float
    random: Random
    tried: set[str] = field(default_factory=set)
    slow: int = 0
    pauses: int = 0
    # Some attempt may have had its effect.
    unsure: bool = False
    last: QuiesceError | None = None

    def remaining_s(self, now_s: float) -> float:
        """Return the seconds left.

        Raises:
            QuiesceError: there are none.
        """
        remaining_s = self.started_s + self.timeout_s - now_s
        if remaining_s < LEAST_S:
            raise self.given_up()
        return remaining_s

    def start(self, now_s: float) -> float:
        """Begin an attempt; return the seconds it may take.

        Raises:
            QuiesceError: no time is left.
        """
        remaining_s = self.remaining_s(now_s)
        first_s = min(self.attempt_timeout_s, self.timeout_s / 3)
        limit_s = min(remaining_s, first_s * GROWTH**self.slow)
        # What would be left could not hold another attempt.
        return remaining_s if remaining_s - limit_s < first_s / 4 else limit_s

    def learn(self, routing: Routing, address: str, error: QuiesceError, now_s: float) -> bool:
        """Take in why an attempt failed; return whether another one makes sense."""
        routing.step(said_by(address, error), now_s)
        self.last = error
        self.slow += isinstance(error, DeadlineExceeded)
        if ambiguous(error):
            self.unsure = True
            return self.effect is not Effect.TWICE
        return error.retryable

    def verdict(self, error: QuiesceError) -> QuiesceError:
        """Return what to raise for an error after which no other attempt is made."""
        return self.given_up() if ambiguous(error) else error

    def given_up(self) -> QuiesceError:
        """Return what to raise when the time is over."""
        if self.unsure and self.effect is not Effect.NONE:
            return OutcomeUnknown(detail=self.last)
        return self.last or DeadlineExceeded(operation=self.operation, seconds=f"{self.timeout_s:g}")

    async def pause(self) -> None:
        """Wait before nodes are asked again that were asked already: longer from time to time, and jittered.

        Raises:
            QuiesceError: no time is left.
        """
        pause_s = min(FIRST_PAUSE_S * 2**self.pauses, LAST_PAUSE_S) * self.random.uniform(0.5, 1.0)
        if self.last is not None and "retry_ms" in self.last.fields:
            # Never sooner than asked, and not all that were turned away at the same moment.
            asked_s = float(self.last.fields["retry_ms"]) / 1000
            pause_s = max(pause_s, asked_s * self.random.uniform(1.0, 1.5))
        self.pauses += 1
        # A last try is worth more than a full pause.
        await asyncio.sleep(min(pause_s, self.remaining_s(time.monotonic()) / 2))
