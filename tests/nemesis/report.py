"""What a run did, for people; and whether it did enough to show anything."""

from __future__ import annotations

import itertools
from collections import defaultdict
from statistics import median

from tests.nemesis.conductor import Conductor, Measured
from tests.nemesis.recorder import Recorder

# Of each there must have been so many answered for every minute, on however slow a machine.
_LEAST_A_MINUTE = {
    ("read", "ok"): 60,
    ("write", "ok"): 30,
    ("cas", "ok"): 15,
    ("cas", "refused"): 2,
    ("insert", "ok"): 4,
    ("insert", "refused"): 2,
    ("lookup", "ok"): 10,
    ("delete", "ok"): 2,
    ("transfer", "ok"): 15,
    ("audit", "ok"): 10,
    ("stale read", "ok"): 30,
    ("write sent twice", "ok"): 15,
}


def too_little(recorder: Recorder, minutes: float) -> list[str]:
    """Return what was not done often enough for the run to mean anything."""
    return [
        f"{kind} {outcome}: {recorder.counts[kind, outcome]}, at least {least * minutes:.0f} would show something"
        for (kind, outcome), least in _LEAST_A_MINUTE.items()
        if recorder.counts[kind, outcome] < least * minutes
    ]


def report(recorder: Recorder, conductor: Conductor) -> str:
    return "\n".join([*_operations(recorder), "", *_faults(recorder, conductor)])


def _operations(recorder: Recorder) -> list[str]:
    outcomes = ["ok", "refused", "failed", "unknown"]
    kinds = sorted({kind for kind, _ in recorder.counts})
    lines = [f"{'operation':<18}" + "".join(f"{outcome:>10}" for outcome in outcomes)]
    return lines + [
        f"{kind:<18}" + "".join(f"{recorder.counts[kind, outcome]:>10}" for outcome in outcomes) for kind in kinds
    ]


def _faults(recorder: Recorder, conductor: Conductor) -> list[str]:
    by_fault: dict[str, list[Measured]] = defaultdict(list)
    for step in conductor.steps:
        if step.ended_s > 0:
            by_fault[" + ".join(step.faults) if len(step.faults) == 1 else "two at once"].append(step)
    heads = ["times", "ops/s in it", "write after", "worst", "reads after", "worst", "gap"]
    lines = [f"{'fault':<30}" + "".join(f"{head:>13}" for head in heads)]
    for name, steps in sorted(by_fault.items()):
        held = sum(step.healed_s - step.begun_s for step in steps)
        rate = sum(step.operations for step in steps) / held if held else 0.0
        cells = [f"{len(steps)}", f"{rate:.0f}"]
        for times in ([s.written_s for s in steps], [s.read_s for s in steps]):
            known = [time for time in times if time >= 0]
            cells += [f"{median(known):.2f} s", f"{max(known):.2f} s"] if known else ["", ""]
        cells.append(f"{max(_longest_gap(recorder, step) for step in steps):.2f} s")
        lines.append(f"{name:<30}" + "".join(f"{cell:>13}" for cell in cells))
    lines += [
        "(after healing: the first acknowledged write, median and worst; every node answering linearizable reads;"
    ]
    lines += [" and the longest time without an acknowledged write until the next fault)"]
    return lines


def _longest_gap(recorder: Recorder, step: Measured) -> float:
    times = [time for time in recorder.acknowledged if step.healed_s <= time <= step.ended_s]
    edges = [step.healed_s, *times, step.ended_s]
    return max(later - earlier for earlier, later in itertools.pairwise(edges))
