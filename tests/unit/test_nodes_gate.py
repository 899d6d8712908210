from hypothesis import given
from hypothesis import strategies as st

from nodes.rotation.gate import CaughtUp, Effect, Gate, LeaseEnded, LeaseTaken, Serving, Stopping, Tick


class Time:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def make(grace_s=5.0):
    time = Time()
    return Gate(clock_ms=lambda: int(time.now * 1000), monotonic=time, grace_s=grace_s), time


def serving():
    gate, time = make()
    assert gate.step(CaughtUp(1)) == [Effect.START_SERVING]
    return gate, time


def test_it_begins_closed_and_opens_when_caught_up():
    gate, _ = make()
    assert gate.state is Serving.CATCHING_UP
    assert not gate.enter()
    gate.step(CaughtUp(1))
    assert gate.enter()


def test_a_drain_waits_for_running_reads_and_refuses_new_ones():
    gate, _ = serving()
    assert gate.enter()
    assert gate.step(LeaseTaken(7, "backup")) == [Effect.STOP_SERVING]
    assert gate.state is Serving.DRAINING
    assert not gate.enter()
    gate.leave()
    assert gate.state is Serving.DRAINED
    assert [change.state for change in gate.history] == [
        Serving.CATCHING_UP,
        Serving.SERVING,
        Serving.DRAINING,
        Serving.DRAINED,
    ]


def test_running_reads_are_cut_once_after_the_grace():
    gate, time = serving()
    gate.enter()
    gate.step(LeaseTaken(7, "backup"))
    time.now = 4.9
    assert gate.step(Tick()) == []
    time.now = 5.0
    assert gate.step(Tick()) == [Effect.CUT_READS]
    assert gate.step(Tick()) == []
    gate.leave()
    assert gate.state is Serving.DRAINED


def test_back_only_by_way_of_a_new_catch_up():
    gate, _ = serving()
    gate.step(LeaseTaken(7, "backup"))
    assert gate.step(CaughtUp(1)) == []
    assert gate.step(LeaseEnded()) == [Effect.CATCH_UP]
    assert gate.state is Serving.CATCHING_UP
    assert gate.step(CaughtUp(1)) == [], "an answer from before the drain proves nothing"
    assert gate.step(CaughtUp(gate.attempt)) == [Effect.START_SERVING]
    assert gate.enter()


def test_a_lease_at_the_start_keeps_it_out():
    gate, _ = make()
    assert gate.step(LeaseTaken(7, "backup")) == []
    assert gate.state is Serving.DRAINED
    assert gate.step(CaughtUp(1)) == []
    assert not gate.enter()


def test_the_same_lease_twice_changes_nothing_and_a_new_one_is_a_new_drain():
    gate, _ = serving()
    gate.step(LeaseTaken(7, "backup"))
    before = len(gate.history)
    assert gate.step(LeaseTaken(7, "backup")) == []
    assert len(gate.history) == before
    gate.step(LeaseTaken(9, "another"))
    assert gate.state is Serving.DRAINED
    assert gate.history[-1].reason == "another"


def test_no_lease_to_end_is_no_event():
    gate, _ = serving()
    assert gate.step(LeaseEnded()) == []
    assert gate.open


def test_stopping_is_for_good():
    gate, _ = serving()
    gate.enter()
    assert gate.step(Stopping()) == [Effect.STOP_SERVING]
    assert gate.step(LeaseTaken(7, "backup")) == []
    assert gate.step(LeaseEnded()) == []
    gate.leave()
    assert gate.state is Serving.DRAINED
    assert gate.step(CaughtUp(gate.attempt)) == []


EVENTS = st.one_of(
    st.builds(LeaseTaken, st.integers(1, 4), st.just("why")),
    st.just(LeaseEnded()),
    st.just(Tick()),
    st.builds(CaughtUp, st.integers(1, 6)),
    st.sampled_from(["enter", "leave", "wait"]),
)


@given(st.lists(EVENTS, max_size=60))
def test_whatever_comes_it_never_reads_under_a_lease(events):
    gate, time = make()
    leased, caught_up, stop, start = False, set(), 0, 0
    for event in events:
        if event == "enter":
            assert gate.enter() == (gate.state is Serving.SERVING)
        elif event == "leave":
            if gate.running:
                gate.leave()
        elif event == "wait":
            time.now += 6
        else:
            effects = gate.step(event)
            start += effects.count(Effect.START_SERVING)
            stop += effects.count(Effect.STOP_SERVING)
            if isinstance(event, LeaseTaken):
                leased = True
            if isinstance(event, LeaseEnded):
                leased = False
            if isinstance(event, CaughtUp) and event.attempt == gate.attempt and not leased:
                caught_up.add(gate.attempt)
        assert gate.open == (start - stop == 1)
        assert not (gate.open and leased)
        assert not gate.open or gate.attempt in caught_up
        assert gate.state is not Serving.DRAINED or gate.running == 0
