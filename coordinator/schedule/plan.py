"""What a policy says about when its backups run. Pure."""

from __future__ import annotations

import enum
import zlib
from dataclasses import dataclass, field

from coordinator.schedule.timing import Timing


class Overlap(enum.StrEnum):
    """What becomes of a run that is due while the one before it still goes on."""

    SKIP = "skip"
    WAIT = "wait"
    CANCEL = "cancel"


class Missed(enum.StrEnum):
    """What becomes of runs that were due while nobody was there to start them."""

    RUN_ONCE = "run-once"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Retry:
    """After a failure: so many further attempts, each after twice the pause, then an alarm."""

    attempts: int = 3
    first_ms: int = 60_000
    most_ms: int = 3_600_000

    def pause_ms(self, failures: int) -> int:
        """Return the pause after so many failures in a row, from 1."""
        return int(min(self.most_ms, self.first_ms << min(failures - 1, 30)))


@dataclass(frozen=True, slots=True)
class Plan:
    """The moments of a policy's runs, and what to do when things do not go by them. Times are Unix milliseconds.

    Policies of the same schedule are spread over `jitter_ms`: each has its own fixed place in it, so that the moments
    to come can be told and every coordinator tells the same.
    """

    name: str
    timing: Timing
    jitter_ms: int = 0
    overlap: Overlap = Overlap.SKIP
    missed: Missed = Missed.RUN_ONCE
    retry: Retry = field(default_factory=Retry)
    # A run that begins later than this has been missed.
    late_ms: int = 300_000

    @property
    def offset_ms(self) -> int:
        """This policy's place in the jitter."""
        return zlib.crc32(self.name.encode()) % (self.jitter_ms + 1)

    def after(self, unix_ms: int) -> int:
        """Return the first moment later than `unix_ms`."""
        return self.timing.after(unix_ms - self.offset_ms) + self.offset_ms

    def latest(self, unix_ms: int) -> int:
        """Return the last moment that is not later than `unix_ms`."""
        return self.timing.latest(unix_ms - self.offset_ms) + self.offset_ms

    def coming(self, unix_ms: int, count: int) -> list[int]:
        """Return the next `count` moments."""
        moments: list[int] = []
        for _ in range(count):
            moments.append(self.after(moments[-1] if moments else unix_ms))
        return moments
