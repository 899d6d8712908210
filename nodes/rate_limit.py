"""Holds a stream of bytes to an average rate."""

from __future__ import annotations

import time
from collections.abc import Callable

# Work that was saved up in a pause may burst for so many seconds' worth.
_BURST_S = 0.25


class RateLimit:
    """At most `bytes_per_s` on average; 0 for no limit. Clock and sleep are passed in for tests."""

    def __init__(
        self,
        bytes_per_s: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = bytes_per_s
        self._clock = clock
        self._sleep = sleep
        # When everything taken so far is paid for.
        self._paid_until = clock()

    def take(self, size: int) -> None:
        """Wait until `size` more bytes are within the rate."""
        if (delay_s := self.delay_s(size)) > 0:
            self._sleep(delay_s)

    def delay_s(self, size: int) -> float:
        """Take `size` more bytes, and return how long to wait until they are within the rate."""
        if self._rate <= 0:
            return 0.0
        now = self._clock()
        self._paid_until = max(self._paid_until, now - _BURST_S) + size / self._rate
        return max(0.0, self._paid_until - now)
