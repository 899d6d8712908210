import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.nemesis.history import Operation
from tests.nemesis.linearizability import Verdict, by_key, check
from tests.nemesis.models import Register, UniqueKey, VersionedRegister
from tests.nemesis.witness import explain, smallest
from tests.unit.nemesis_histories import (
    brute_force,
    cas,
    delete,
    insert,
    lookup,
    op,
    read,
    run_register,
    write,
)

REGISTER = Register(0)
VERSIONED = VersionedRegister((1, "a"))

GOOD = {
    "nothing": (REGISTER, []),
    "a read of the initial value": (REGISTER, [read(0, 0, 1)]),
    "a read after a write": (REGISTER, [write(1, 0, 1), read(1, 2, 3)]),
    "a read during a write sees the old value": (REGISTER, [write(1, 0, 10), read(0, 2, 3)]),
    "a read during a write sees the new value, and so do later ones": (
        REGISTER,
        [write(1, 0, 10), read(0, 1, 2), read(1, 3, 4), read(1, 5, 6)],
    ),
    "overlapping reads see both": (REGISTER, [write(1, 0, 10), read(1, 1, 6), read(0, 2, 5)]),
    "equal times overlap": (REGISTER, [write(1, 0, 5), read(0, 5, 6)]),
    "concurrent writes in either order": (REGISTER, [write(1, 0, 10), write(2, 0, 10), read(2, 11, 12)]),
    "a write of what is there already, behind another": (REGISTER, [write(1, 0, 1), write(0, 0, 1), read(0, 2, 3)]),
    "an unknown write that never happened": (REGISTER, [write(1, 0, None), read(0, 5, 6)]),
    "an unknown write that appears late": (REGISTER, [write(1, 0, None), read(0, 5, 6), read(1, 90, 91)]),
    "an unknown write after an acknowledged one": (
        REGISTER,
        [write(1, 0, None), write(2, 5, 6), read(2, 7, 8), read(1, 9, 10)],
    ),
    "an unknown write hidden by another": (REGISTER, [write(1, 0, None), write(2, 1, 2), read(2, 3, 4)]),
    "one of two exchanges wins": (REGISTER, [cas(0, 1, True, 0, 10), cas(0, 2, False, 0, 10), read(1, 11, 12)]),
    "an exchange fails in the middle of a write": (REGISTER, [write(1, 0, 10), cas(0, 2, False, 3, 4)]),
    "an exchange that an unknown write made possible": (REGISTER, [write(1, 0, None), cas(1, 2, True, 5, 6)]),
    "versions": (VERSIONED, [write("b", 0, 1, 2), read((2, "b"), 2, 3), cas(2, "c", (True, 3), 4, 5)]),
    "a version shows that an unknown write came between": (
        VERSIONED,
        [write("b", 0, None), write("c", 5, 6, 3), read((3, "c"), 7, 8)],
    ),
    "two unknown writes, the versions say that both came": (
        VERSIONED,
        [write("b", 0, None), write("c", 0, None), read((3, "b"), 7, 8)],
    ),
    "an exchange found another version": (VERSIONED, [write("b", 0, 1, 2), cas(1, "c", (False, 2), 2, 3)]),
    "a key that was freed": (
        UniqueKey(),
        [insert("a", True, 0, 1), insert("b", False, 2, 3), delete("a", True, 4, 5), insert("c", True, 6, 7)],
    ),
    "an unknown insert that took the key": (
        UniqueKey(),
        [insert("a", None, 0, None), insert("b", False, 5, 6), lookup("a", 7, 8)],
    ),
    "an unknown delete": (UniqueKey(), [insert("a", True, 0, 1), delete("a", None, 2, None), lookup(None, 3, 4)]),
}

BAD = {
    "a value never written": (REGISTER, [read(7, 0, 1)], 0),
    "a stale read": (REGISTER, [write(1, 0, 1), read(0, 2, 3)], 1),
    "reads that go back": (REGISTER, [write(1, 0, 10), read(1, 1, 2), read(0, 3, 4)], 2),
    "a read from the future": (REGISTER, [read(1, 0, 1), write(1, 2, 3)], 0),
    "a lost write": (REGISTER, [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)], 2),
    "a lost update: two exchanges of one value": (REGISTER, [cas(0, 1, True, 0, 10), cas(0, 2, True, 0, 10)], 1),
    "an exchange that failed for no reason": (REGISTER, [cas(0, 1, False, 0, 1)], 0),
    "an exchange that could not succeed": (REGISTER, [write(1, 0, 1), cas(0, 2, True, 2, 3)], 1),
    "an unknown write that appears and disappears": (
        REGISTER,
        [write(1, 0, None), read(0, 2, 3), read(1, 4, 5), read(0, 6, 7)],
        3,
    ),
    "an unknown write that happens twice": (
        REGISTER,
        [write(1, 0, None), read(1, 1, 2), write(2, 3, 4), read(2, 5, 6), read(1, 7, 8)],
        4,
    ),
    "an unknown write before it was asked for": (REGISTER, [read(1, 0, 1), write(1, 2, None)], 0),
    "readers that disagree on an order": (
        REGISTER,
        [write(1, 0, 20), write(2, 0, 20), read(1, 1, 2), read(2, 3, 4), read(1, 5, 6)],
        4,
    ),
    "a write applied twice": (VERSIONED, [write("b", 0, 1, 2), read((3, "b"), 2, 3)], 1),
    "an unknown write applied twice": (VERSIONED, [write("b", 0, None), read((3, "b"), 2, 3)], 1),
    "a version given twice": (VERSIONED, [write("b", 0, 10, 2), write("c", 0, 10, 2)], 1),
    "a version with another value": (VERSIONED, [write("b", 0, 1, 2), read((2, "a"), 2, 3)], 1),
    "an acknowledged write lost with its version": (VERSIONED, [write("b", 0, 1, 2), write("c", 2, 3, 2)], 1),
    "an exchange that lies about what it found": (VERSIONED, [cas(1, "b", (False, 1), 0, 1)], 0),
    "an exchange that found a version of the past": (
        VERSIONED,
        [write("b", 0, 1, 2), write("c", 2, 3, 3), cas(1, "d", (False, 2), 4, 5)],
        2,
    ),
    "a key taken twice": (UniqueKey(), [insert("a", True, 0, 10), insert("b", True, 0, 10)], 1),
    "a key refused though it is free": (UniqueKey(), [insert("a", False, 0, 1)], 0),
    "a holder that vanished": (UniqueKey(), [insert("a", True, 0, 1), lookup(None, 2, 3)], 1),
    "a deleted holder that is back": (
        UniqueKey(),
        [insert("a", True, 0, 1), delete("a", True, 2, 3), lookup("a", 4, 5)],
        2,
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_linearizable(name):
    model, history = GOOD[name]
    assert check(history, model)
    if len(history) < 7:
        assert brute_force(history, model)


@pytest.mark.parametrize("name", BAD)
def test_not_linearizable(name):
    model, history, culprit = BAD[name]
    finding = check(history, model)
    assert finding.verdict is Verdict.NOT_LINEARIZABLE
    returned = [one for one in history if not one.unknown]
    if len({one.returned for one in returned}) == len(returned):
        assert finding.at is history[culprit]
    assert not brute_force(history, model)


@pytest.mark.parametrize("name", BAD)
def test_the_order_in_which_a_history_is_written_down_does_not_matter(name):
    model, history, _ = BAD[name]
    shuffled = history[:]
    random.Random(1).shuffle(shuffled)
    assert not check(shuffled, model)


@st.composite
def registers(draw):
    values = st.integers(0, 2)
    history = []
    for _ in range(draw(st.integers(1, 6))):
        invoked = draw(st.integers(0, 12))
        returned = draw(st.one_of(st.none(), st.integers(invoked, invoked + 6)))
        kind = draw(st.sampled_from(["read", "write", "cas"]))
        if kind == "read":
            history.append(op("read", None, draw(values), invoked, returned))
        elif kind == "write":
            history.append(op("write", draw(values), None, invoked, returned))
        else:
            history.append(op("cas", (draw(values), draw(values)), draw(st.booleans()), invoked, returned))
    return history


@st.composite
def versioned(draw):
    versions, values = st.integers(1, 4), st.sampled_from("abc")
    history = []
    for _ in range(draw(st.integers(1, 6))):
        invoked = draw(st.integers(0, 12))
        returned = draw(st.one_of(st.none(), st.integers(invoked, invoked + 6)))
        kind = draw(st.sampled_from(["read", "write", "cas"]))
        if kind == "read":
            history.append(op("read", None, (draw(versions), draw(values)), invoked, returned))
        elif kind == "write":
            history.append(op("write", draw(values), draw(versions), invoked, returned))
        else:
            result = (draw(st.booleans()), draw(versions))
            history.append(op("cas", (draw(versions), draw(values)), result, invoked, returned))
    return history


@st.composite
def unique_keys(draw):
    history = []
    for _ in range(draw(st.integers(1, 6))):
        invoked = draw(st.integers(0, 12))
        returned = draw(st.one_of(st.none(), st.integers(invoked, invoked + 6)))
        kind = draw(st.sampled_from(["insert", "delete", "lookup"]))
        token = draw(st.sampled_from("ab"))
        result = draw(st.sampled_from(["a", "b", None])) if kind == "lookup" else draw(st.booleans())
        history.append(op(kind, None if kind == "lookup" else token, result, invoked, returned))
    return history


@settings(max_examples=400, deadline=None)
@given(st.one_of(registers().map(lambda h: (REGISTER, h)), unique_keys().map(lambda h: (UniqueKey(), h))))
def test_agrees_with_trying_every_order(case):
    model, history = case
    assert bool(check(history, model)) == brute_force(history, model)


@settings(max_examples=400, deadline=None)
@given(versioned())
def test_agrees_with_trying_every_order_of_versions(history):
    assert bool(check(history, VERSIONED)) == brute_force(history, VERSIONED)


@pytest.mark.parametrize("seed", range(6))
def test_long_histories_of_a_correct_register_pass_in_few_steps(seed):
    history = run_register(seed, operations=10_000, clients=12, unknown=0.002)
    finding = check(history, VersionedRegister((1, -1)))
    assert finding.verdict is Verdict.LINEARIZABLE
    assert finding.steps < 2_000_000


@pytest.mark.parametrize("seed", range(40))
def test_one_wrong_answer_in_a_long_history_is_found(seed):
    history = run_register(seed, operations=400, clients=6, unknown=0.02)
    assert check(history, VersionedRegister((1, -1)))
    rng = random.Random(seed)
    kind = rng.choice(["read", "write"])
    wrong = rng.choice([one for one in history if one.kind == kind and not one.unknown][10:])
    if kind == "write":
        # It is told of a version that somebody else made.
        wrong.result -= 1
    else:
        version, value = wrong.result
        wrong.result = rng.choice([(version + 1, value), (version - 1, value), (version, value + 1_000)])
    assert check(history, VersionedRegister((1, -1))).verdict is Verdict.NOT_LINEARIZABLE


def test_a_search_that_passes_its_bound_is_no_pass():
    history = [write(n, 0, 100) for n in range(12)] + [read(99, 0, 101)]
    finding = check(history, REGISTER, most_steps=1_000)
    assert finding.verdict is Verdict.UNDECIDED
    assert not finding
    assert "undecided" in explain(history, REGISTER, finding)


def test_the_witness_is_small_and_still_wrong():
    history = run_register(7, operations=2_000, clients=4, unknown=0.01)
    wrong = next(one for one in history[1_500:] if one.kind == "read" and not one.unknown)
    wrong.result = (wrong.result[0] - 8, wrong.result[1])
    model = VersionedRegister((1, -1))
    finding = check(history, model)
    state, part = smallest(history, model, finding)
    assert wrong in part
    assert len(part) < 40
    assert not check(part, VersionedRegister(state))
    assert "cannot be explained" in explain(history, model, finding)


def test_keys_are_judged_apart():
    history: list[Operation] = [
        op("write", 1, None, 0, 1, "x"),
        op("read", None, 0, 2, 3, "y"),
        op("read", None, 1, 2, 3, "x"),
    ]
    keys = by_key(history)
    assert set(keys) == {"x", "y"}
    assert all(check(part, REGISTER) for part in keys.values())
