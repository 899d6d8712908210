"""What the daemon tells its worker while it runs: one JSON object a line on standard input.

`{"rate_limit": 1000000}`: the most bytes read a second from now on; 0: no limit. The last one counts, and the same one
twice changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable

_LONGEST = 1_000


def order(rate_limit: int) -> bytes:
    """Return a line."""
    return json.dumps({"rate_limit": rate_limit}).encode() + b"\n"


class Orders:
    """Takes the lines apart, and calls `change_rate` with each rate; what is no such line is passed over."""

    def __init__(self, change_rate: Callable[[int], None]) -> None:
        self._change_rate = change_rate
        self._begun = b""

    def feed(self, read: bytes) -> None:
        """Take what was read."""
        *lines, self._begun = (self._begun + read).split(b"\n")
        self._begun = self._begun[:_LONGEST]
        for line in lines:
            rate_limit = _rate_limit(line)
            if rate_limit is not None:
                self._change_rate(rate_limit)


def _rate_limit(line: bytes) -> int | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    rate_limit = found.get("rate_limit") if isinstance(found, dict) else None
    return rate_limit if isinstance(rate_limit, int) and rate_limit >= 0 else None
