"""What happened, in order, for people: kept only where it is asked for."""

from __future__ import annotations

from collections.abc import Callable

Trace = Callable[[str], None]


class EventLog:
    """Lines with the step and the time at which they happened."""

    def __init__(self, moment: Callable[[], tuple[int, int]], write: Callable[[str], None] | None) -> None:
        self._moment = moment
        self._write = write
        self.on = write is not None

    def __call__(self, who: object, text: str) -> None:
        """Note what happened to, or was done by, somebody; ask `on` before making a costly text."""
        if self._write is not None:
            step, now = self._moment()
            self._write(f"{step:>6} {now / 1e6:>10.6f}s  {who!s:<4} {text}")
