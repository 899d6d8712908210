"""Keeps children running: a pure core, told what happened, that says what to do.

Times are seconds of a monotonic clock, passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum, auto

from quiesce.errors import NodeRemoved

FIRST_BACKOFF_S = 0.5
LAST_BACKOFF_S = 30.0
# A child that ran so long is healthy: its next failure is a first one.
HEALTHY_AFTER_S = 60.0
STOP_WITHIN_S = 10.0
# Those that are stopped first get so long before the others are stopped as well.
HEAD_START_S = 5.0


# --- events


@dataclass(frozen=True, slots=True)
class Exited:
    """A child ended; `code` as of subprocess: below 0 is a signal."""

    name: str
    code: int


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody wants the end; asked twice, at once."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has gone on."""


Event = Exited | StopAsked | Tick


# --- effects


@dataclass(frozen=True, slots=True)
class Start:
    """Start a child."""

    name: str


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask a child to end."""

    name: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End a child."""

    name: str


@dataclass(frozen=True, slots=True)
class SayRestart:
    """Tell the user that a child ended and is started again after `delay_s` seconds."""

    name: str
    code: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class SayKilled:
    """Tell the user that a child did not end in time."""

    name: str


@dataclass(frozen=True, slots=True)
class SayGone:
    """Tell the user that a child ended for good, by its own account."""

    name: str


Effect = Start | Terminate | Kill | SayRestart | SayKilled | SayGone


class _State(Enum):
    RUNNING = auto()
    WAITING = auto()
    ENDED = auto()


@dataclass(slots=True)
class _Child:
    state: _State = _State.WAITING
    # When it was started, or is to be.
    at_s: float = 0.0
    failures: int = 0


class Supervisor:
    """Watches over the children of the given names.

    Those of `stop_first` need the others to end well: the others are stopped when they have ended.
    """

    def __init__(self, names: Iterable[str], stop_first: Collection[str] = ()) -> None:
        self._children = {name: _Child() for name in names}
        self._stop_first = frozenset(stop_first)
        # While stopping: when the others are stopped as well, and when all are killed.
        self._others_at_s: float | None = None
        self._kill_at_s: float | None = None

    @property
    def stopping(self) -> bool:
        """Whether the end has been asked for."""
        return self._kill_at_s is not None

    @property
    def ended(self) -> bool:
        """Whether all children have ended for good."""
        return all(child.state is _State.ENDED for child in self._children.values())

    def next_s(self) -> float | None:
        """Return when a Tick is due; None while only an event can change anything."""
        if self.stopping:
            return None if self.ended else self._others_at_s or self._kill_at_s
        return min((child.at_s for child in self._children.values() if child.state is _State.WAITING), default=None)

    def step(self, event: Event, now_s: float) -> list[Effect]:
        """Take in an event; return what to do, in order."""
        match event:
            case Exited(name, code):
                return self._exited(name, code, now_s)
            case StopAsked():
                return self._stop(now_s)
            case Tick():
                return self._tick(now_s)

    def _exited(self, name: str, code: int, now_s: float) -> list[Effect]:
        child = self._children[name]
        if self.stopping:
            child.state = _State.ENDED
            first_ended = self._others_at_s is not None and not self._running(self._stop_first)
            return self._stop_others(now_s) if first_ended else []
        if code == NodeRemoved.exit_code:
            child.state = _State.ENDED
            return [SayGone(name)]
        child.failures = 1 if now_s - child.at_s >= HEALTHY_AFTER_S else child.failures + 1
        delay_s = min(FIRST_BACKOFF_S * 2.0 ** min(child.failures - 1, 16), LAST_BACKOFF_S)
        child.state, child.at_s = _State.WAITING, now_s + delay_s
        return [SayRestart(name, code, delay_s)]

    def _running(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self._children[name].state is _State.RUNNING]

    def _stop(self, now_s: float) -> list[Effect]:
        if self.stopping:
            return [Kill(name) for name in self._running(self._children)]
        for child in self._children.values():
            if child.state is _State.WAITING:
                child.state = _State.ENDED
        first = self._running(self._stop_first)
        self._kill_at_s = now_s + HEAD_START_S + STOP_WITHIN_S
        self._others_at_s = now_s + HEAD_START_S
        return [Terminate(name) for name in first] if first else self._stop_others(now_s)

    def _stop_others(self, now_s: float) -> list[Effect]:
        self._others_at_s = None
        self._kill_at_s = now_s + STOP_WITHIN_S
        return [Terminate(name) for name in self._running(self._children) if name not in self._stop_first]

    def _tick(self, now_s: float) -> list[Effect]:
        if self._kill_at_s is None:
            effects: list[Effect] = []
            for name, child in self._children.items():
                if child.state is _State.WAITING and child.at_s <= now_s:
                    child.state, child.at_s = _State.RUNNING, now_s
                    effects.append(Start(name))
            return effects
        if self._others_at_s is not None and self._others_at_s <= now_s:
            return self._stop_others(now_s)
        if self._kill_at_s > now_s:
            return []
        # Should even that take long, it is said again, not at once.
        self._kill_at_s = now_s + STOP_WITHIN_S
        return [effect for name in self._running(self._children) for effect in (SayKilled(name), Kill(name))]
