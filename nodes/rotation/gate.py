"""The serving gate: a state machine without effects of its own.

    CATCHING_UP --caught up--> SERVING --lease taken--> DRAINING --nothing runs--> DRAINED --lease ended--> CATCHING_UP

A node that cannot follow any more goes from SERVING to CATCHING_UP as well.
Back in service only by way of CATCHING_UP, so that a node never answers before it has what it missed. Names of the
states: `ServingState` in proto/quiesce/v1/node.proto.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from quiesce.v1 import node_pb2

_HISTORY = 64


class Serving(enum.IntEnum):
    """`quiesce.v1.ServingState`, by the same numbers."""

    SERVING = node_pb2.SERVING_STATE_SERVING
    DRAINING = node_pb2.SERVING_STATE_DRAINING
    DRAINED = node_pb2.SERVING_STATE_DRAINED
    CATCHING_UP = node_pb2.SERVING_STATE_CATCHING_UP
    AWAITING_RESTORE = node_pb2.SERVING_STATE_AWAITING_RESTORE


@dataclass(frozen=True, slots=True)
class LeaseTaken:
    """The applied state says that this node is out of rotation, under this epoch."""

    epoch: int
    why: str


@dataclass(frozen=True, slots=True)
class LeaseEnded:
    """The applied state says that this node is in rotation."""


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """A read barrier that began in catch-up number `attempt` has succeeded."""

    attempt: int


@dataclass(frozen=True, slots=True)
class FellBehind:
    """This node cannot follow the log at the moment."""

    why: str


@dataclass(frozen=True, slots=True)
class Stopping:
    """The daemon is being stopped; there is no way back."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = LeaseTaken | LeaseEnded | CaughtUp | FellBehind | Stopping | Tick


class Effect(enum.Enum):
    """What the daemon has to do after a step."""

    STOP_SERVING = enum.auto()
    START_SERVING = enum.auto()
    # Running reads have had their time: end them with a retryable error.
    CUT_READS = enum.auto()
    # Try a read barrier until it succeeds, then tell the gate CaughtUp(gate.attempt).
    CATCH_UP = enum.auto()


@dataclass(frozen=True, slots=True)
class Change:
    """A change of state, for the history: `at_ms` is Unix milliseconds."""

    state: Serving
    at_ms: int
    reason: str


class Gate:
    """Counts the reads that run and says whether another may begin.

    Args:
        clock_ms: Unix milliseconds, for the history.
        monotonic: seconds, for the grace of running reads.
        grace_s: how long reads that run may go on when the node leaves rotation.
        state: where it begins; CATCHING_UP begins catch-up number 1.
    """

    def __init__(
        self,
        *,
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float],
        grace_s: float,
        state: Serving = Serving.CATCHING_UP,
        why: str = "starting",
    ) -> None:
        self.state = state
        self.why = why
        self.running = 0
        self.attempt = 1
        self.epoch: int | None = None
        self.stopping = False
        self.history: deque[Change] = deque(maxlen=_HISTORY)
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._grace_s = grace_s
        self._cut_at: float | None = None
        self._enter_state(state, why)

    @property
    def open(self) -> bool:
        """Whether a read may begin."""
        return self.state is Serving.SERVING

    def enter(self) -> bool:
        """Count a read in, and return True; or return False: it must not begin."""
        if not self.open:
            return False
        self.running += 1
        return True

    def leave(self) -> None:
        """Count a read out that was counted in."""
        self.running -= 1
        self._settle()

    def step(self, event: Event) -> list[Effect]:
        """Take an event in and return what has to be done, in order."""
        match event:
            case Stopping():
                return self._stop()
            case LeaseTaken(epoch, why):
                return self._take(epoch, why)
            case LeaseEnded():
                return self._end()
            case CaughtUp(attempt):
                return self._serve(attempt)
            case FellBehind(why):
                return self._fall_behind(why)
            case Tick():
                return self._tick()

    def _take(self, epoch: int, why: str) -> list[Effect]:
        if self.stopping or self.epoch == epoch:
            return []
        self.epoch = epoch
        return self._close(why)

    def _end(self) -> list[Effect]:
        if self.stopping or self.epoch is None:
            return []
        self.epoch = None
        self.attempt += 1
        self._cut_at = None
        self._enter_state(Serving.CATCHING_UP, "the lease ended")
        return [Effect.CATCH_UP]

    def _serve(self, attempt: int) -> list[Effect]:
        # An answer to an earlier catch-up: the node has been out of rotation since, and proves nothing.
        if self.state is not Serving.CATCHING_UP or attempt != self.attempt:
            return []
        self._enter_state(Serving.SERVING, "caught up")
        return [Effect.START_SERVING]

    def _fall_behind(self, why: str) -> list[Effect]:
        if self.state is not Serving.SERVING:
            return []
        self.attempt += 1
        # Reads that run have what they need.
        self._enter_state(Serving.CATCHING_UP, why)
        return [Effect.STOP_SERVING, Effect.CATCH_UP]

    def _stop(self) -> list[Effect]:
        if self.stopping:
            return []
        self.stopping = True
        return self._close("the node is being stopped")

    def _close(self, why: str) -> list[Effect]:
        was_open = self.open
        self._cut_at = self._monotonic() + self._grace_s
        self._enter_state(Serving.DRAINING, why)
        self._settle()
        return [Effect.STOP_SERVING] if was_open else []

    def _tick(self) -> list[Effect]:
        if self.state is not Serving.DRAINING or self._cut_at is None or self._monotonic() < self._cut_at:
            return []
        self._cut_at = None
        return [Effect.CUT_READS]

    def _settle(self) -> None:
        if self.state is Serving.DRAINING and self.running == 0:
            self._cut_at = None
            self._enter_state(Serving.DRAINED, self.why)

    def _enter_state(self, state: Serving, why: str) -> None:
        self.state, self.why = state, why
        self.history.append(Change(state, self._clock_ms(), why))
