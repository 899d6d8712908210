import asyncio
import random
from types import SimpleNamespace

import pytest

from quiesce.errors import NotLeader, OutcomeUnknown, StaleVersion, Unavailable
from quiesce.v1.record_pb2 import OpenSessionResponse, Record, WriteResponse
from tests.nemesis.outcomes import Failed, Unknown, by_client, by_hand
from tests.nemesis.recorder import Recorder
from tests.nemesis.ways import Twice

ONE, OTHER = WriteResponse(index=5), WriteResponse(index=6, written=[Record(version=2)])
MOVED = NotLeader(node_id=1, leader_address="b")
LOST = Unavailable(addresses="a", seconds="1", detail="Socket closed")


class FakeRaw:
    """Answers writes with what it was given, one after the other, the last one for ever."""

    def __init__(self, answers):
        self.answers = answers
        self.requests = []

    def any_node(self):
        return 1

    async def open_session(self, node):
        return OpenSessionResponse(session_id=9)

    async def write(self, node, request):
        self.requests.append((request.session_id, request.sequence, request.acknowledged_through))
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def recorder(tmp_path):
    return Recorder(tmp_path / "log")


def twice(answers, recorder):
    world = SimpleNamespace(recorder=recorder, watch=SimpleNamespace(leader=lambda: 1))
    raw = FakeRaw(answers)
    return Twice(raw, world, random.Random(1)), raw


async def test_the_same_write_is_sent_several_times(recorder):
    way, raw = twice([ONE], recorder)
    assert await way.write("d", []) == ONE
    assert await way.write("d", []) == ONE
    assert set(raw.requests) == {(9, 1, 0), (9, 2, 1)}
    assert len(raw.requests) == 6
    assert recorder.violations == []
    assert recorder.counts["write sent twice", "ok"] == 2


async def test_two_answers_to_one_write_are_a_violation(recorder):
    way, _ = twice([ONE, OTHER], recorder)
    await way.write("d", [])
    assert recorder.violations


async def test_an_answer_and_a_refusal_are_a_violation(recorder):
    way, _ = twice([ONE, StaleVersion(rid="#1:1", actual=2, expected=1)], recorder)
    await way.write("d", [])
    assert recorder.violations


async def test_it_failed_only_if_every_try_certainly_did(recorder):
    way, _ = twice([MOVED], recorder)
    with pytest.raises(Failed):
        await way.write("d", [])
    way, _ = twice([MOVED, LOST], recorder)
    with pytest.raises(Unknown):
        await way.write("d", [])
    assert recorder.violations == []


@pytest.mark.parametrize(
    ("error", "by_library", "to_a_node"),
    [
        (OutcomeUnknown(detail="?"), Unknown, Unknown),
        (MOVED, Failed, Failed),
        # The library says so only where no try can have arrived.
        (LOST, Failed, Unknown),
        (StaleVersion(rid="#1:1", actual=2, expected=1), StaleVersion, StaleVersion),
    ],
)
async def test_what_an_error_means(error, by_library, to_a_node):
    async def fail():
        await asyncio.sleep(0)
        raise error

    with pytest.raises(by_library):
        await by_client(fail())
    with pytest.raises(to_a_node):
        await by_hand(fail())
