"""The numbering of a session's writes: a pure core.

The cluster keeps the outcome of every write of a session until told that its answer has arrived; then a second try of
it would not be recognised. So what is told is the greatest number below which every answer is here (Ongaro, "Consensus:
Bridging Theory and Practice", 6.3).
"""

from __future__ import annotations

from collections import OrderedDict

# The cluster keeps so many outcomes a session.
WINDOW = 1024


class Session:
    """Hands out the numbers of a session's writes and knows which are open."""

    def __init__(self, session_id: int, window: int = WINDOW) -> None:
        self.session_id = session_id
        self._window = window
        self._next = 1
        self._open: OrderedDict[int, None] = OrderedDict()

    @property
    def acknowledged_through(self) -> int:
        """The greatest number up to which no write is open."""
        return next(iter(self._open), self._next) - 1

    @property
    def room(self) -> int:
        """How many more writes may begin.

        What counts is the distance from the oldest open write, not how many are open: the outcomes of all behind it are
        still kept.
        """
        return self._window - (self._next - 1 - self.acknowledged_through)

    def begin(self) -> int:
        """Return the number of a new write; only where there is room."""
        if self.room <= 0:
            raise AssertionError
        number = self._next
        self._next += 1
        self._open[number] = None
        return number

    def settle(self, number: int) -> None:
        """Take in that a write will not be asked again: its answer is here, or it was given up."""
        del self._open[number]
