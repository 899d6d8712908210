"""The clock a proposer puts into commands: it follows the clocks of a majority and never stands still or goes back.

A lease ends in log time. Were those clocks set back an hour, log time would stand still for that hour and a dead
owner's lease with it; so time goes on from the greatest that was seen, at the pace of the monotonic clock.
docs/decisions/0013-log-time.md.
"""

from __future__ import annotations

from collections.abc import Callable


class LogClock:
    """Unix milliseconds for commands.

    Args:
        agreed_ms: Unix milliseconds that the clocks of a majority have reached; 0 where that is not known.
        monotonic: seconds.
    """

    def __init__(self, agreed_ms: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._agreed_ms = agreed_ms
        self._monotonic = monotonic
        self._seen_ms = 0
        self._seen_at = monotonic()

    def observe(self, log_time_ms: int) -> None:
        """Take in a time that the log has reached, from whichever proposer."""
        if log_time_ms > self._now():
            self._seen_ms, self._seen_at = log_time_ms, self._monotonic()

    def now_ms(self) -> int:
        """Return the time for a command that is proposed now."""
        self.observe(self._agreed_ms())
        return self._now()

    def _now(self) -> int:
        return self._seen_ms + int((self._monotonic() - self._seen_at) * 1000)
