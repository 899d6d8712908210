"""The advance of long work as lines: for files and pipes, and for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from quiesce.cli.units import amount, seconds_text

# People read a log; programs may want to draw.
LINE_EVERY_S = 5.0
JSON_EVERY_S = 0.5
# What was done before the clock was started says nothing about a rate.
RATED_AFTER_S = 0.1


class Progress(Protocol):
    """A piece of work whose advance is shown."""

    def update(self, done: int, total: int | None = None, **facts: object) -> None:
        """Say how far it is.

        Args:
            done: units done so far, not since the last call.
            total: units in all, once known.
            **facts: more to know, shown as they are.
        """


class _Paced:
    """Shows the first state, then one in a while, and the last one."""

    def __init__(self, title: str, total: int | None, unit: str, clock: Callable[[], float], every_s: float) -> None:
        self._title = title
        self._total = total
        self._unit = unit
        self._clock = clock
        self._every_s = every_s
        self._done = 0
        self._facts: dict[str, object] = {}
        self._started = clock()
        self._shown_at: float | None = None
        self._fresh = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fresh:
            self._show()

    def update(self, done: int, total: int | None = None, **facts: object) -> None:
        """See Progress."""
        self._done = done
        self._total = total if total is not None else self._total
        self._facts.update(facts)
        self._fresh = True
        if self._shown_at is None or self._clock() - self._shown_at >= self._every_s:
            self._show()

    def _show(self) -> None:
        self._shown_at = self._clock()
        self._fresh = False
        self._emit(max(self._shown_at - self._started, 0.0))

    def _emit(self, elapsed_s: float) -> None:
        raise NotImplementedError

    def _left_s(self, elapsed_s: float) -> float | None:
        if not self._total or not self._done or elapsed_s < RATED_AFTER_S:
            return None
        return max(self._total - self._done, 0) * elapsed_s / self._done


class LineProgress(_Paced):
    """A line every few seconds."""

    def __init__(
        self,
        title: str,
        total: int | None,
        unit: str,
        binary: bool,
        clock: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(title, total, unit, clock, LINE_EVERY_S)
        self._binary = binary
        self._say = say

    def _emit(self, elapsed_s: float) -> None:
        def count(value: float) -> str:
            return amount(value, self._unit, binary=self._binary)

        parts = [f"{self._title}: {count(self._done)}"]
        if self._total:
            parts.append(f"of {count(self._total)} ({self._done / self._total:.0%})")
        if elapsed_s >= RATED_AFTER_S and self._done:
            parts.append(f"at {count(self._done / elapsed_s)}/s")
        if (left_s := self._left_s(elapsed_s)) is not None and left_s > 0:
            parts.append(f"{seconds_text(left_s)} left")
        parts += [f"{name} {value}" for name, value in self._facts.items()]
        self._say(", ".join([" ".join(parts[:2]), *parts[2:]]) if self._total else ", ".join(parts))


class JsonProgress(_Paced):
    """A JSON object a line."""

    def __init__(
        self,
        title: str,
        total: int | None,
        unit: str,
        clock: Callable[[], float],
        write: Callable[[Mapping[str, Any]], None],
    ) -> None:
        super().__init__(title, total, unit, clock, JSON_EVERY_S)
        self._write = write

    def _emit(self, elapsed_s: float) -> None:
        line = {
            "type": "progress",
            "title": self._title,
            "done": self._done,
            "total": self._total,
            "unit": self._unit,
            "elapsed_s": round(elapsed_s, 3),
            "left_s": None if (left_s := self._left_s(elapsed_s)) is None else round(left_s, 3),
        }
        self._write({**line, **self._facts})
