"""The rate of a backup's workers as a function of what clients wait. Pure: a sample a second goes in, a rate comes out.

Slow start, then gentle steps up and large ones down, as TCP goes about a network that only shows how long things took:

* over the budget: down to as much as the budget is of the wait, but to 80 % at the most and half at the least;
* at 75 % of the budget or less: up, twofold until it was over for the first time. After that it takes three seconds,
  and the nearer the budget is the smaller is the step: near saturation a little is much;
* in between: as it is, so that it comes to rest there;
* hardly any calls: nobody is hurt, and nobody would say so either. It goes up gently, but to `QUIET_MOST` only, so that
  the first who come find a backup that is one or two seconds away from a rate they can bear;
* too few calls to judge, though more than that: as it is;
* a node that should say and does not: not up. Where it is there and too slow to say: down, since what is slow for us is
  slow for clients as well.

The rate never is below `FLOOR`: a backup must end, whatever the load. Not even a budget that clients exceed without any
backup stops one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from coordinator.pacing.evidence import Evidence
from quiesce.latency import Latencies

MIB = 1 << 20
# At this rate a worker needs some hundredths of a core, and the largest segment takes 8 s: it is not taken for stuck.
FLOOR = 1 * MIB
START = 8 * MIB
# Faster than any worker is.
MOST = 512 * MIB
QUIET_MOST = 32 * MIB
# Calls a second, over `QUIET_S`: the coordinator makes some itself.
QUIET_CALLS = 2.0
QUIET_S = 10
QUIET_LEAST_S = 3
NEAR = 0.75
# The p99 of a second's calls is a matter of luck: only so many seconds in a row are a reason to go up.
CALM_S = 3
_UP_QUIET, _UP_LEAST, _UP_MOST = 0.1, 0.02, 0.3
_DOWN_LEAST, _DOWN_MOST = 0.8, 0.5
# Pages are read in lumps: what workers use is the most of so many samples.
_USED_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """What clients waited in the last `seconds`.

    Args:
        blind: a node that may serve clients did not say.
        late_us: so long, at least, a node took to say, and has not yet; 0: all were quicker.
        used: bytes a second that the fastest worker has read meanwhile; None: not known.
    """

    seconds: float
    reads: Latencies = field(default_factory=Latencies)
    writes: Latencies = field(default_factory=Latencies)
    blind: bool = False
    late_us: int = 0
    used: int | None = None


class _Kind:
    """Reads, or writes."""

    def __init__(self) -> None:
        self.evidence = Evidence()
        # Of the last finding, in budgets; None: there was none yet.
        self.share: float | None = None
        self.fresh = False

    def add(self, calls: Latencies, seconds: float, budget_us: int) -> None:
        finding = self.evidence.add(calls, seconds)
        self.fresh = finding is not None
        if finding is not None:
            self.share = finding.p99_us / budget_us


class Pace:
    """Decides on the rate, in bytes a second.

    Args:
        budget_ms: what 99 of 100 reads, and of 100 writes, may take.
        ceiling: the most bytes a second; 0: as many as clients can bear.
    """

    def __init__(self, budget_ms: int, ceiling: int = 0) -> None:
        self._budget_us = budget_ms * 1000
        self._ceiling = ceiling or MOST
        self._floor = min(FLOOR, self._ceiling)
        self.rate = min(START, self._ceiling)
        self._starting = True
        self._kinds = (_Kind(), _Kind())
        # What comes next was in part measured at the rate before.
        self._settling = False
        self._calm_s = 0.0
        self._recent: deque[tuple[float, int]] = deque(maxlen=QUIET_S)
        self._used: deque[int] = deque(maxlen=_USED_SAMPLES)

    def observe(self, sample: Sample) -> int:
        """Take a sample, and return the rate from now on."""
        if sample.used is not None:
            self._used.append(sample.used)
        self._recent.append((sample.seconds, sample.reads.calls + sample.writes.calls))
        if self._settling:
            self._settling = False
            return self.rate
        for kind, calls in zip(self._kinds, (sample.reads, sample.writes), strict=True):
            kind.add(calls, sample.seconds, self._budget_us)
        fresh = [kind.share for kind in self._kinds if kind.fresh and kind.share is not None]
        if sample.late_us:
            fresh.append(sample.late_us / self._budget_us)
        standing = [kind.share for kind in self._kinds if kind.share is not None]
        near = not standing or max(standing) > NEAR
        blind = sample.blind or sample.late_us > 0
        self._calm_s = 0.0 if near or blind else self._calm_s + sample.seconds
        if fresh and max(fresh) > 1:
            self._down(max(fresh))
        elif blind:
            pass
        elif self._quiet():
            # Those whose wait was last heard of are gone.
            for kind in self._kinds:
                kind.share = None
            self._up(_UP_QUIET, most=QUIET_MOST)
        elif fresh and (self._calm_s if self._starting else self._calm_s >= CALM_S):
            step = max(_UP_LEAST, _UP_MOST * (1 - max(standing) / NEAR))
            self._up(1.0 if self._starting else step, most=self._ceiling)
        return self.rate

    def _down(self, share: float) -> None:
        factor = min(_DOWN_LEAST, max(_DOWN_MOST, 1 / share))
        # A rate that workers do not come near is none that could be halved.
        base = min(self.rate, max(2 * max(self._used), self._floor)) if self._used else self.rate
        self._set(base * factor)
        self._starting = False
        self._settling = True
        for kind in self._kinds:
            kind.evidence.clear()

    def _up(self, step: float, *, most: int) -> None:
        if self._used and max(self._used) < self.rate / 2:
            # It would say nothing about what clients can bear.
            return
        more = max(self.rate * step, self._floor / 16)
        self._set(max(self.rate, min(self.rate + more, most)))

    def _set(self, rate: float) -> None:
        self._calm_s = 0.0
        self.rate = round(min(max(rate, self._floor), self._ceiling))

    def _quiet(self) -> bool:
        seconds = sum(seconds for seconds, _ in self._recent)
        return seconds >= QUIET_LEAST_S and sum(calls for _, calls in self._recent) < QUIET_CALLS * seconds
