"""The steps of a drill: whatever happens, it ends, cleans up right before, and never calls unproven what is not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.drills.judgement import compare_check, compare_counts
from coordinator.drills.machine import Alive, Failed, Happening, Interrupt, Performed, Tick, begin, step
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
from quiesce import errors

SUBJECT = Subject("s1", "c0ffee", {"people": 10, "empty": 0}, bytes_raw=1_000)
CHECKED = Checked("c0ffee", {"people": 10, "empty": 0}, links=3, dangling_links=2)
RESULTS: dict[Step, Any] = {
    Step.CHOOSE: SUBJECT,
    Step.RESTORE: Restored(records=10, index_entries=7),
    Step.COUNT: {"people": 10, "empty": 0},
    Step.CHECK: CHECKED,
}
ORDER = [step for step in Step if step is not Step.DONE]
BROKEN = Failure.of(errors.QuiesceError(detail="it broke"))
DAMAGED = Failure.of(errors.DamagedObject(object="packs/aa", repository="/r", detail="one bit"))


def moment(at: int) -> Moment:
    # The wall clock runs backwards: nothing may depend on it.
    return Moment(1_000 + at, 1_700_000_000_000 - at)


class Run:
    """A drill with all that it asked for; time goes on by 5 ms with each happening."""

    def __init__(self) -> None:
        self.at = 0
        self.drill, first = begin(Request("d1", "/r", "latest"), Deadlines(), moment(0))
        self.asked = [first]

    def tell(self, happening: Happening) -> None:
        self.at += 5
        self.drill, wanted = step(self.drill, happening, moment(self.at))
        if wanted is not None:
            self.asked.append(wanted)

    def perform(self, upto: Step = Step.DONE) -> Run:
        while self.drill.step is not upto and not self.drill.ended:
            self.tell(Performed(self.drill.step, RESULTS.get(self.drill.step)))
        return self

    def late(self) -> None:
        self.at = self.drill.deadline - 1_000 - 5
        self.tell(Tick())


def test_a_drill_goes_through_all_steps_and_measures_each() -> None:
    run = Run().perform()
    assert run.asked == ORDER
    assert run.drill.outcome is Outcome.VERIFIED
    assert run.drill.parts == tuple((step.value, 5) for step in ORDER)
    assert (run.drill.subject, run.drill.checked) == (SUBJECT, CHECKED)
    assert run.drill.ended_ms >= run.drill.started_ms


@pytest.mark.parametrize("at", ORDER)
@pytest.mark.parametrize("how", ["fails", "hangs", "is damaged"])
def test_a_failure_at_any_step_ends_it_and_cleans_up(at: Step, how: str) -> None:
    run = Run().perform(upto=at)
    if how == "hangs":
        run.late()
    else:
        run.tell(Failed(at, DAMAGED if how == "is damaged" else BROKEN))
    run.perform()
    assert run.drill.ended
    assert run.asked[-1] is Step.CLEAN
    assert run.asked.count(Step.CLEAN) == 1
    if at is Step.CLEAN:
        # What is left on the disk says nothing about the snapshot.
        assert run.drill.outcome is Outcome.VERIFIED
        return
    assert run.drill.outcome is Outcome.FAILED
    error = run.drill.error()
    assert type(error) is {
        "fails": errors.QuiesceError, "hangs": errors.DeadlineExceeded, "is damaged": errors.DamagedObject
    }[how]  # fmt: skip
    # The snapshot is condemned by damage that its restore has met, and by nothing else that is no verdict on it.
    assert run.drill.condemned is (at is Step.RESTORE and how == "is damaged")
    assert (Step.RECORD in run.asked) is (run.drill.condemned or at is Step.RECORD)


@pytest.mark.parametrize("at", ORDER)
def test_an_interruption_says_nothing_about_the_snapshot(at: Step) -> None:
    run = Run().perform(upto=at)
    run.tell(Interrupt(BROKEN))
    run.perform()
    decided = at in (Step.RECORD, Step.CLEAN)
    assert run.drill.outcome is (Outcome.VERIFIED if decided else Outcome.INTERRUPTED)
    assert run.asked[-1] is Step.CLEAN
    assert (Step.RECORD in run.asked) is decided


@pytest.mark.parametrize(
    ("at", "result", "says"),
    [
        (Step.COUNT, {"people": 9, "empty": 0}, "database people has 9 records, and 10 in the snapshot"),
        (Step.COUNT, {"people": 10}, "database empty is not there"),
        (Step.COUNT, {"people": 10, "empty": 0, "more": 0}, "there is a database more"),
        (Step.CHECK, dataclasses.replace(CHECKED, content_id="bad"), "the content id is bad, and c0ffee"),
        (Step.CHECK, dataclasses.replace(CHECKED, records={"people": 10, "empty": 1}), "database empty has 1"),
        (Step.CHECK, dataclasses.replace(CHECKED, finding="index x: gone", findings=3), "index x: gone, and 2 more"),
    ],
)
def test_what_is_not_the_snapshot_condemns_it(at: Step, result: Any, says: str) -> None:
    run = Run().perform(upto=at)
    run.tell(Performed(at, result))
    assert run.drill.step is Step.RECORD
    run.perform()
    assert run.drill.outcome is Outcome.FAILED
    error = run.drill.error()
    assert isinstance(error, errors.DrillFailed)
    assert says in error.message()
    assert error.fields["step"] == at


def test_dangling_links_are_no_failure() -> None:
    assert compare_check(SUBJECT, dataclasses.replace(CHECKED, dangling_links=1_000)) == ""
    assert compare_counts(SUBJECT, dict(SUBJECT.records)) == ""


def test_what_moves_may_take_as_long_as_it_needs() -> None:
    run = Run().perform(upto=Step.RESTORE)
    for _ in range(100):
        run.at += Deadlines().stall_ms - 100
        run.tell(Alive(Step.RESTORE))
        run.tell(Tick())
    assert run.drill.step is Step.RESTORE
    assert run.perform().drill.outcome is Outcome.VERIFIED


def happenings() -> st.SearchStrategy[Any]:
    steps = st.sampled_from(ORDER)
    return st.one_of(
        st.just("late"),
        st.just("performed"),
        st.builds(Failed, steps, st.sampled_from([BROKEN, DAMAGED])),
        st.builds(Alive, steps),
        st.builds(Interrupt, st.just(BROKEN)),
        st.just(Tick()),
        # Of a step that is over, or to come.
        steps.map(lambda at: ("stale", at)),
    )


@given(st.lists(happenings(), max_size=40))
def test_whatever_happens_it_ends_clean_and_is_verified_only_if_every_step_was_passed(happened: list[Any]) -> None:
    run, passed = Run(), set[Step]()
    for one in happened:
        before: Drill = run.drill
        if one == "late":
            run.late()
        elif one == "performed":
            passed.add(before.step)
            run.tell(Performed(before.step, RESULTS.get(before.step)))
        elif isinstance(one, tuple):
            if one[1] is not before.step:
                run.tell(Performed(one[1], RESULTS.get(one[1])))
                assert run.drill == before
        else:
            run.tell(one)
    verified_before = run.drill.verdict is Outcome.VERIFIED
    while not run.drill.ended:
        run.late()
    assert run.asked[-1] is Step.CLEAN
    assert run.asked.count(Step.CLEAN) == 1
    assert len(run.asked) == len(set(run.asked))
    if run.drill.outcome is Outcome.VERIFIED:
        assert verified_before
        assert passed >= set(ORDER) - {Step.CLEAN}
    else:
        assert run.drill.failure is not None
