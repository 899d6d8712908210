"""The directory of throw-away nodes: one coordinator's, and cleaned of what is certainly left."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from coordinator.child import free_port
from coordinator.drills.model import Request, Subject
from coordinator.drills.scratch import Scratch, default_scratch
from coordinator.drills.throwaway import ThrowawayCluster
from quiesce.errors import DirectoryInUse, FileUnusable, NoRoomForDrill


def test_what_is_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "drills"
    assert Scratch(path).clean() == []
    assert not path.exists(), "looking makes no directory"
    scratch = Scratch(path)
    first = scratch.new()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (first / "node").mkdir()
    (first / "node" / "file").write_bytes(b"x")
    (path / "mine.txt").touch()
    (path / "drill-link").symlink_to(tmp_path)
    second = scratch.new()
    assert not first.exists()
    scratch.remove(second)
    scratch.remove(second)
    assert sorted(entry.name for entry in path.iterdir()) == ["drill-link", "drills.lock", "mine.txt"]


def test_a_directory_of_another_coordinator_is_left_alone(tmp_path: Path) -> None:
    one, other = Scratch(tmp_path / "drills"), Scratch(tmp_path / "drills")
    under_way = one.new()
    with pytest.raises(DirectoryInUse):
        other.clean()
    with pytest.raises(DirectoryInUse):
        other.new()
    assert under_way.exists()
    # As when its process ends.
    assert one._lock is not None
    one._lock.close()
    assert other.clean() == [under_way.name]


def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "drills").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileUnusable):
        Scratch(tmp_path / "drills").new()
    (tmp_path / "file").touch()
    with pytest.raises(FileUnusable):
        Scratch(tmp_path / "file").new()


def test_coordinators_on_one_machine_have_directories_of_their_own() -> None:
    assert default_scratch("127.0.0.1:7100") != default_scratch("127.0.0.1:7200")
    assert str(os.geteuid()) in default_scratch("[::1]:7100").name


async def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "drills")
    cluster = ThrowawayCluster(Request("d1", "/r", "s1"), scratch, idle_s=1)
    with pytest.raises(NoRoomForDrill) as refused:
        await cluster.start(Subject("s1", "c", {}, bytes_raw=scratch.free()))
    assert refused.value.fields["snapshot_id"] == "s1"
    await cluster.clean()
    assert list((tmp_path / "drills").glob("drill-*")) == []


def test_a_free_port_can_be_listened_on() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", free_port()))
