"""How long clients waited in the last seconds: in bounded room, at less than a microsecond a call."""

from __future__ import annotations

from collections import deque

from quiesce.latency import Latencies
from quiesce.v1.latency_pb2 import ClientLatencyResponse

KEPT_S = 10
# Bounds within a factor of two: a bound is at most a sixteenth above what was measured.
_STEP_BITS = 4
_STEPS = 1 << _STEP_BITS
# Two minutes; no call may wait so long.
_MOST_US = (1 << 27) - 1


def bucket_of(us: int) -> int:
    """Return the number of the bucket for so many microseconds; there are fewer than 400."""
    us = min(us, _MOST_US)
    shift = us.bit_length() - _STEP_BITS - 1
    return us if shift <= 0 else (shift << _STEP_BITS) + (us >> shift)


def upper_us(bucket: int) -> int:
    """Return the most microseconds that are counted in a bucket."""
    if bucket < 2 * _STEPS:
        return bucket
    shift = (bucket >> _STEP_BITS) - 1
    return ((bucket - (shift << _STEP_BITS) + 1) << shift) - 1


class RecentLatencies:
    """Calls of one kind, by the second in which they ended.

    `now_s` is a clock that never goes back; the seconds that it counts are the ones that are told of.
    """

    def __init__(self) -> None:
        self._second = 0
        self._counts: dict[int, int] = {}
        # Seconds without calls are not there.
        self._seconds: deque[tuple[int, dict[int, int]]] = deque(maxlen=KEPT_S + 1)

    def add(self, seconds: float, now_s: float) -> None:
        """Count a call that took so long and ended now."""
        second = int(now_s)
        if second != self._second:
            self._second, self._counts = second, {}
            self._seconds.append((second, self._counts))
        bucket = bucket_of(int(seconds * 1e6))
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def between(self, first: int, last: int) -> Latencies:
        """Return the calls that ended from the second `first` to the second `last`."""
        total: dict[int, int] = {}
        for second, counts in self._seconds:
            if first <= second <= last:
                for bucket, calls in counts.items():
                    bound = upper_us(bucket)
                    total[bound] = total.get(bound, 0) + calls
        return Latencies(total)


class ClientLatency:
    """What clients waited for reads and for writes."""

    def __init__(self) -> None:
        self.reads = RecentLatencies()
        self.writes = RecentLatencies()

    def answer(self, since: int, now_s: float) -> ClientLatencyResponse:
        """Return the whole seconds after `since`, of those that are kept."""
        last = int(now_s) - 1
        # A count that is ahead of this one is from before the machine was started anew.
        first = max(since + 1 if since <= last else 0, last - KEPT_S + 1)
        return ClientLatencyResponse(
            second=max(0, last),
            seconds=max(0, last - first + 1),
            reads=self.reads.between(first, last).message(),
            writes=self.writes.between(first, last).message(),
        )
