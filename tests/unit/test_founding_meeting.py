"""Which founder may take part, whatever is lost or killed on the way."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nodes.founding import Meeting, begin_meeting, is_founding
from quiesce.errors import DamagedStore, DirectoryLost, DiskFailed

FOUNDERS = (1, 2, 3)


def meeting(directory: Path, node_id: int = 1) -> Meeting:
    return Meeting(directory, node_id=node_id, cluster_id="c", founders=FOUNDERS)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    begin_meeting(tmp_path)
    return tmp_path


def test_it_takes_part_when_all_have_answered(directory: Path) -> None:
    found = meeting(directory)
    found.hear(3, founded=False)
    assert found.missing == {2}
    found.hear(2, founded=False)
    assert not found.missing
    assert is_founding(directory)
    found.end()
    assert not is_founding(directory)


def test_one_that_was_answered_may_have_begun_meanwhile(directory: Path) -> None:
    meeting(directory).answer(2)
    found = meeting(directory)
    found.hear(2, founded=True)
    assert found.missing == {3}


def test_one_that_began_without_this_directory_has_known_another(directory: Path) -> None:
    found = meeting(directory)
    found.answer(3)
    with pytest.raises(DirectoryLost, match="as node 2 knows"):
        found.hear(2, founded=True)


def test_an_answer_that_was_not_written_down_does_not_leave(directory: Path) -> None:
    found = meeting(directory)
    shutil.rmtree(directory)
    with pytest.raises(DiskFailed):
        found.answer(2)
    with pytest.raises(DirectoryLost):
        found.hear(2, founded=True)


def test_answers_to_many_at_once_are_all_written_down(directory: Path) -> None:
    found = Meeting(directory, node_id=1, cluster_id="c", founders=range(1, 40))
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(found.answer, range(2, 40)))
    again = Meeting(directory, node_id=1, cluster_id="c", founders=range(1, 40))
    for other in range(2, 40):
        again.hear(other, founded=True)
    assert not again.missing


def test_an_answer_after_the_end_does_not_begin_again(directory: Path) -> None:
    found = meeting(directory)
    assert not found.answer(2)
    found.end()
    assert found.answer(3)
    assert not is_founding(directory)


def test_a_damaged_file_is_said_to_be_so(directory: Path) -> None:
    meeting(directory).answer(2)
    content = (directory / "founding").read_text()
    at = content.rindex("2")
    (directory / "founding").write_text(content[:at] + "3" + content[at + 1 :])
    with pytest.raises(DamagedStore, match="founding"):
        meeting(directory)


class Machine:
    """A founder: its process may die, its disk may be lost."""

    def __init__(self, directory: Path, node_id: int) -> None:
        self.directory, self.node_id = directory, node_id
        self.lost = False
        # What it had promised with a directory that is gone, others may have used.
        self.forgot = self.refused = False
        self.make()

    def make(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        begin_meeting(self.directory)
        self.restart()

    def restart(self) -> None:
        self.meeting = meeting(self.directory, self.node_id) if is_founding(self.directory) else None

    @property
    def founded(self) -> bool:
        return self.meeting is None

    def lose(self, others: list[Machine]) -> None:
        self.lost = True
        self.forgot = self.forgot or (self.founded and any(other.founded for other in others))
        self.make()

    def asks(self, other: Machine, *, lost: bool) -> None:
        if self.meeting is None or self.refused or other.refused:
            return
        if other.meeting is not None:
            other.meeting.answer(self.node_id)
        if lost:
            return
        try:
            self.meeting.hear(other.node_id, founded=other.founded)
        except DirectoryLost:
            self.refused = True
            return
        if not self.meeting.missing:
            self.meeting.end()
            self.meeting = None


@pytest.mark.parametrize("seed", range(100))
def test_who_forgot_never_takes_part_and_who_did_not_is_never_refused(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any order of questions, lost answers, restarts and lost disks."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    rng = random.Random(seed)
    machines = [Machine(tmp_path / str(node), node) for node in FOUNDERS]
    unlucky = rng.sample(machines, rng.randint(0, 2))
    for _ in range(rng.randint(0, 80)):
        asking, other = rng.sample(machines, 2)
        match rng.randrange(12):
            case 0:
                asking.restart()
            case 1 if asking in unlucky:
                asking.lose([machine for machine in machines if machine is not asking])
            case _:
                asking.asks(other, lost=rng.random() < 0.3)
        assert not any(machine.forgot and machine.founded for machine in machines)
        assert not any(machine.refused and not machine.lost for machine in machines)
    for asking, other in [*itertools.permutations(machines, 2)] * 3:
        asking.asks(other, lost=False)
    if not any(machine.refused for machine in machines):
        assert all(machine.founded for machine in machines)
