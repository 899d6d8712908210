"""What is unusual in an export, though it can be read: counted for whoever wants to know."""

from __future__ import annotations


class Oddities:
    """Counts by what is unusual, in words."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def note(self, what: str, count: int = 1) -> None:
        """Count `what`."""
        if count:
            self.counts[what] = self.counts.get(what, 0) + count
