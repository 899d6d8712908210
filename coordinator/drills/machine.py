"""The steps of a drill.

`step(drill, happening, now)` returns the drill's next state and the step that is to be performed now, if another one
is. Whatever happens, in whatever order and however often, a drill ends, and cleans up right before. A snapshot is
verified only by a drill that has passed every step up to its record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from coordinator.drills.judgement import compare_check, compare_counts
from coordinator.drills.model import (
    Checked,
    Deadlines,
    Drill,
    Failure,
    Moment,
    Outcome,
    Request,
    Restored,
    Step,
    Subject,
)
from quiesce.errors import DamagedObject, DeadlineExceeded, DrillFailed

# What a damaged snapshot makes of its restore; anything else may be the machine's fault.
_OF_SNAPSHOT = frozenset({DamagedObject.reason()})


@dataclass(frozen=True, slots=True)
class Performed:
    """A step was performed; `result` is what it came to: Subject, Restored, records by database, Checked, or None."""

    step: Step
    result: Any = None


@dataclass(frozen=True, slots=True)
class Alive:
    """A step goes on."""

    step: Step


@dataclass(frozen=True, slots=True)
class Failed:
    """A step could not be performed."""

    step: Step
    failure: Failure


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The drill is to end, whatever the snapshot is like."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Happening = Performed | Alive | Failed | Interrupt | Tick
Turn = tuple[Drill, Step | None]


def begin(request: Request, deadlines: Deadlines, now: Moment) -> Turn:
    """Return a new drill and its first step."""
    drill = Drill(request, deadlines, started_ms=now.unix_ms)
    return _enter(drill, Step.CHOOSE, now)


def step(drill: Drill, happening: Happening, now: Moment) -> Turn:
    """Return what becomes of `drill` by `happening`, and the step to be performed now, if another one is."""
    if drill.ended:
        return drill, None
    match happening:
        case Performed(at, result) if at is drill.step:
            return _performed(drill, result, now)
        case Alive(at) if at is drill.step:
            return replace(drill, deadline=now.mono_ms + drill.deadlines.of(at)), None
        case Failed(at, failure) if at is drill.step:
            return _failed(drill, failure, now)
        case Interrupt(failure):
            return _interrupted(drill, failure, now)
        case Tick() if now.mono_ms >= drill.deadline:
            return _failed(drill, _late(drill, now), now)
        case _:
            # Of a step that has been given up.
            return drill, None


def _performed(drill: Drill, result: Any, now: Moment) -> Turn:
    match drill.step, result:
        case Step.CHOOSE, Subject():
            return _enter(replace(drill, subject=result), Step.START, now)
        case Step.START, _:
            return _enter(drill, Step.RESTORE, now)
        case Step.RESTORE, Restored():
            return _enter(replace(drill, restored=result), Step.COUNT, now)
        case Step.COUNT, dict():
            return _judged(drill, compare_counts(_subject(drill), result), Step.STOP, now)
        case Step.STOP, _:
            return _enter(drill, Step.CHECK, now)
        case Step.CHECK, Checked():
            drill = replace(drill, checked=result)
            return _judged(drill, compare_check(_subject(drill), result), Step.RECORD, now)
        case Step.RECORD, _:
            return _enter(drill, Step.CLEAN, now)
        case Step.CLEAN, _:
            return _done(drill, now)
        case _:
            raise TypeError(f"{result!r} is no result of the step {drill.step}")


def _judged(drill: Drill, complaint: str, following: Step, now: Moment) -> Turn:
    if complaint:
        return _failed(drill, _drill_failed(drill, complaint), now, condemned=True)
    if following is Step.RECORD:
        # Said in the record, so decided before it is written.
        drill = replace(drill, verdict=Outcome.VERIFIED)
    return _enter(drill, following, now)


def _failed(drill: Drill, failure: Failure, now: Moment, *, condemned: bool = False) -> Turn:
    match drill.step:
        case Step.CLEAN:
            # What is left is removed before the next drill, and at the next start.
            return _done(drill, now)
        case Step.RECORD if drill.verdict is not Outcome.VERIFIED:
            return _enter(drill, Step.CLEAN, now)
        case Step.RECORD:
            # Nobody else would know of it.
            return _enter(replace(drill, verdict=Outcome.FAILED, failure=failure), Step.CLEAN, now)
    condemned = condemned or (drill.step is Step.RESTORE and failure.reason in _OF_SNAPSHOT)
    drill = replace(drill, verdict=Outcome.FAILED, failure=failure, condemned=condemned)
    return _enter(drill, Step.RECORD if condemned else Step.CLEAN, now)


def _interrupted(drill: Drill, failure: Failure, now: Moment) -> Turn:
    if drill.step in (Step.RECORD, Step.CLEAN):
        # It is decided, and what is left does not take long.
        return drill, None
    return _enter(replace(drill, verdict=Outcome.INTERRUPTED, failure=failure), Step.CLEAN, now)


def _enter(drill: Drill, following: Step, now: Moment) -> Turn:
    drill = _part_ended(drill, now)
    deadline = now.mono_ms + drill.deadlines.of(following)
    return replace(drill, step=following, began=now.mono_ms, deadline=deadline), following


def _done(drill: Drill, now: Moment) -> Turn:
    drill = _part_ended(drill, now)
    return replace(drill, step=Step.DONE, ended_ms=max(now.unix_ms, drill.started_ms)), None


def _part_ended(drill: Drill, now: Moment) -> Drill:
    if not drill.began:
        return drill
    return replace(drill, parts=(*drill.parts, (drill.step.value, now.mono_ms - drill.began)))


def _subject(drill: Drill) -> Subject:
    assert drill.subject is not None  # noqa: S101 - there is no way here but through CHOOSE
    return drill.subject


def _late(drill: Drill, now: Moment) -> Failure:
    seconds = f"{(now.mono_ms - drill.began) / 1000:g}"
    return Failure.of(DeadlineExceeded(operation=f"The step {drill.step} of the drill", seconds=seconds))


def _drill_failed(drill: Drill, detail: str) -> Failure:
    return Failure.of(
        DrillFailed(
            drill_id=drill.request.drill_id,
            snapshot_id=drill.snapshot_id,
            repository=drill.request.repository,
            step=drill.step.value,
            detail=detail.rstrip("."),
        )
    )
