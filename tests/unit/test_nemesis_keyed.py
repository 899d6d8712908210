import asyncio

import pytest

from quiesce.errors import InvalidRequest
from tests.nemesis.keyed import Answer, Key
from tests.nemesis.models import VersionedRegister
from tests.nemesis.outcomes import Failed, Unknown
from tests.nemesis.recorder import Recorder


@pytest.fixture
def recorder(tmp_path):
    return Recorder(tmp_path / "log")


@pytest.fixture
def key(recorder):
    return Key("x", VersionedRegister((1, "a")), recorder)


def coming(answer):
    async def call():
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return call


async def test_an_answered_operation_is_in_the_history_with_its_index(key, recorder):
    await key.run("c", "write", "b", coming(Answer(2, index=7, changed=True)))
    await key.run("c", "read", None, coming(Answer((2, "b"), index=7)))
    key.judge()
    assert recorder.violations == []
    assert [op.result for op in key.operations] == [2, (2, "b")]
    assert len(recorder.acknowledged) == 1
    assert recorder.floor == 7


async def test_a_failed_one_is_not_and_so_its_effect_is_a_violation(key, recorder):
    await key.run("c", "write", "b", coming(Failed("no leader")))
    assert key.operations == []
    await key.run("c", "read", None, coming(Answer((2, "b"))))
    key.judge()
    assert "not linearizable" in recorder.violations[0]


async def test_an_unknown_one_may_have_its_effect_at_any_time(key, recorder):
    await key.run("c", "write", "b", coming(Unknown("lost")))
    await key.run("c", "read", None, coming(Unknown("lost")))
    await key.run("c", "read", None, coming(Answer((1, "a"))))
    key.saw_last((2, "b"), "read")
    key.judge()
    assert recorder.violations == []
    assert key.unknown == 1


async def test_a_cancelled_one_stays_unknown(key):
    async def hang():
        await asyncio.sleep(3600)

    task = asyncio.create_task(key.run("c", "write", "b", hang))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [op.unknown for op in key.operations] == [True]
    assert key.pending == 0


async def test_an_error_that_nobody_expects_is_a_violation(key, recorder):
    await key.run("c", "write", "b", coming(InvalidRequest(detail="?")))
    assert "InvalidRequest" in recorder.violations[0]


async def test_what_was_lost_is_seen_at_the_end(key, recorder):
    await key.run("c", "write", "b", coming(Answer(2, index=7, changed=True)))
    key.judge()
    assert recorder.violations == []
    key.saw_last((1, "a"), "read")
    key.judge()
    key.judge()
    assert len(recorder.violations) == 1


@pytest.mark.parametrize(
    ("index", "write", "wrong"), [(7, False, False), (6, False, True), (7, True, True), (8, True, False)]
)
def test_an_answer_names_no_index_of_the_past(recorder, index, write, wrong):
    recorder.saw("somebody", 0, 7)
    recorder.saw("somebody else", recorder.floor, index, write=write)
    assert bool(recorder.violations) is wrong
