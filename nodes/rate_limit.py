"""Holds a stream of bytes to an average rate, which may change on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# Work that was saved up in a pause may burst for so many seconds' worth.
_BURST_S = 0.25


class RateLimit:
    """At most `bytes_per_s` on average; 0 for no limit. Clock and sleep are passed in for tests.

    One thread takes; another may change the rate meanwhile, and who waits then waits as long as by the new one.
    """

    def __init__(
        self,
        bytes_per_s: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._rate = bytes_per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._changed = threading.Event()
        # Ends early when the rate changes.
        self._sleep = sleep or self._changed.wait
        # When everything taken so far is paid for.
        self._paid_until = clock()

    def take(self, size: int) -> None:
        """Wait until `size` more bytes are within the rate."""
        delay_s = self.delay_s(size)
        while delay_s > 0:
            self._sleep(delay_s)
            # Cleared first: a change after that is seen by the next sleep.
            self._changed.clear()
            delay_s = self._left_s()

    def delay_s(self, size: int) -> float:
        """Take `size` more bytes, and return how long to wait until they are within the rate."""
        with self._lock:
            if self._rate <= 0:
                return 0.0
            now = self._clock()
            self._paid_until = max(self._paid_until, now - _BURST_S) + size / self._rate
            return max(0.0, self._paid_until - now)

    def change(self, bytes_per_s: int) -> None:
        """Go on at another rate; what is not paid for yet is paid for at that one."""
        with self._lock:
            if bytes_per_s == self._rate:
                return
            now = self._clock()
            if bytes_per_s <= 0 or self._rate <= 0:
                self._paid_until = now
            elif self._paid_until > now:
                self._paid_until = now + (self._paid_until - now) * self._rate / bytes_per_s
            self._rate = bytes_per_s
        self._changed.set()

    def _left_s(self) -> float:
        with self._lock:
            return self._paid_until - self._clock() if self._rate > 0 else 0.0
