"""What becomes of a survivor: all that its log holds, in another cluster; its own directory stays as it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from salvage_directories import MEMBERS, lost_node, tree
from state_entries import Entry, alter, command, create, drain, entry, new_class, new_database, texts, write

from nodes.consensus.recovery import recover_log
from nodes.data_directory import DataDirectory
from nodes.identity import Identity, read_identity
from nodes.salvage import read_survivor, salvage, store_files
from nodes.salvage import salvage as salvage_function
from nodes.statemachine import ReplicatedState
from quiesce.errors import DamagedLog, DamagedStore, DirectoryNotEmpty, DiskFailed, FileUnusable
from quiesce.v1 import peer_pb2, record_pb2

ADDRESS = "127.0.0.1:9"
SETUP = [[new_database()], [alter(new_class("Person"))]]


def named(*names: str) -> peer_pb2.Command:
    return write(*(create("Person", name=name) for name in names))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Six entries: four applied, five known to be committed, the sixth with two commands known to nobody else."""
    entries = [*SETUP, [named("a")], [drain(2, time_ms=7)], [named("b")], [named("c"), named("d")]]
    return lost_node(tmp_path / "old", *entries, committed=5, applied=4)


def made(old: Path, new: Path) -> ReplicatedState:
    salvage(read_survivor(old), new, cluster_id="new", node_id=7, address=ADDRESS)
    return ReplicatedState(new, 7)


def names_in(state: ReplicatedState) -> list[str]:
    with state.store.view() as view:
        (cluster,) = view.class_clusters("people", "Person")
        bodies = [record.body for batch in view.scan_cluster("people", cluster) for record in batch]
    return texts(bodies, "name")


def test_a_survivor_says_how_far_it_goes(old: Path) -> None:
    before = tree(old)
    found = read_survivor(old)
    assert (found.last.term, found.last.index) == (3, 11)
    assert (found.committed, found.applied, found.uncertain_commands) == (10, 9, 2)
    assert dict(found.others) == {2: "127.0.0.1:2", 3: "127.0.0.1:3"}
    assert tree(old) == before


def test_all_of_the_log_is_kept_and_counters_are_past_the_old_ones(old: Path, tmp_path: Path) -> None:
    before = tree(old)
    state = made(old, tmp_path / "new")
    assert names_in(state) == ["a", "b", "c", "d"]
    assert state.applied == (1_000_000_011, 4)
    assert state.membership == peer_pb2.Membership(nodes=[peer_pb2.Membership.Node(node_id=7, address=ADDRESS)])
    state.close()
    log = recover_log(tmp_path / "new" / "raft")
    assert (log.last.index, log.last.term) == (1_000_000_011, 4)
    assert (log.log.state.voters, log.log.state.learners) == ((7,), ())
    assert read_identity(tmp_path / "new") == Identity(7, "new", {7: ADDRESS})
    assert tree(old) == before


def test_nobody_is_out_of_rotation_in_the_new_cluster(old: Path, tmp_path: Path) -> None:
    state = ReplicatedState(old, 1)
    assert state.store.state.lease is not None
    state.close()
    assert made(old, tmp_path / "new").store.state.lease is None


def test_a_write_that_is_sent_again_is_applied_once(tmp_path: Path) -> None:
    opened = command(open_session=record_pb2.OpenSessionRequest(client="c"))
    in_session = write(create("Person", name="once"), session_id=8 << 16, sequence=1)
    old = lost_node(tmp_path / "old", *SETUP, [opened], [in_session], committed=2, applied=2)
    state = made(old, tmp_path / "new")
    again = state.apply([entry_behind(state, in_session)])
    assert names_in(state) == ["once"]
    assert again[0][1].write.written


def entry_behind(state: ReplicatedState, *commands: peer_pb2.Command) -> Entry:
    return entry(state.applied[0] + 1, *commands, term=4)


def test_a_change_of_members_that_was_under_way_changes_nothing_in_the_new_cluster(tmp_path: Path) -> None:
    founders = peer_pb2.Membership(nodes=[peer_pb2.Membership.Node(node_id=n, address=a) for n, a in MEMBERS.items()])
    adopt = command(adopt_membership=founders)
    entries = [*SETUP, [adopt], [command(change_membership=peer_pb2.MembershipChange(remove=1))], [named("a")]]
    old = lost_node(tmp_path / "old", *entries, committed=3, applied=3)
    state = made(old, tmp_path / "new")
    assert names_in(state) == ["a"]
    assert state.membership == peer_pb2.Membership(nodes=[peer_pb2.Membership.Node(node_id=7, address=ADDRESS)])


def test_a_survivor_that_never_applied_anything(tmp_path: Path) -> None:
    old = lost_node(tmp_path / "old", *SETUP, [named("a")])
    assert read_survivor(old).committed == 5
    assert names_in(made(old, tmp_path / "new")) == ["a"]


def test_a_store_that_is_ahead_of_its_log_is_what_counts(tmp_path: Path) -> None:
    """A checkpoint was installed, and the node died before its log began anew behind it."""
    old = lost_node(tmp_path / "old", *SETUP, [named("a")], committed=3, applied=3)
    other = lost_node(tmp_path / "log", term=2)
    for segment in (old / "raft").iterdir():
        segment.unlink()
    segment = next((other / "raft").iterdir())
    segment.rename(old / "raft" / segment.name)
    assert read_survivor(old).last.index == 8
    assert names_in(made(old, tmp_path / "new")) == ["a"]


class PowerLoss(BaseException):
    """Not an Exception: nothing on the way may take it for an answer."""


@pytest.mark.parametrize("step", ["take_over", "_bring_forward", "_read_back", "initialise_log", "write_identity"])
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_leaves_no_node_and_the_next_run_begins_anew(
    old: Path, tmp_path: Path, step: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["nodes.salvage.salvage"]
    real = getattr(module, step)

    def dies(*arguments, **named):
        if after:
            real(*arguments, **named)
        raise PowerLoss

    before = tree(old)
    with monkeypatch.context() as patched:
        patched.setattr(module, step, dies)
        # What a process that was killed cannot do either.
        patched.setattr(DataDirectory, "finished", lambda _: None)
        begun = DataDirectory.begin
        patched.setattr(DataDirectory, "begin", _first_only(begun))
        with pytest.raises(PowerLoss):
            salvage_function(read_survivor(old), tmp_path / "new", cluster_id="x", node_id=1, address=ADDRESS)
    if not (step == "write_identity" and after):
        assert read_identity(tmp_path / "new") is None
    assert tree(old) == before
    state = made(old, tmp_path / "new")
    assert names_in(state) == ["a", "b", "c", "d"]
    assert read_identity(tmp_path / "new") == Identity(7, "new", {7: ADDRESS})


def _first_only(begin):
    done: list[bool] = []

    def once(data: DataDirectory) -> None:
        if not done:
            done.append(True)
            begin(data)

    return once


def test_a_failure_leaves_an_empty_directory(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_files.shutil, "copyfile", full)
    with pytest.raises(DiskFailed, match="No space left"):
        made(old, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_tables_are_copied_where_they_cannot_be_linked(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ReplicatedState(old, 1)
    state.store.engine.flush()
    state.close()

    def refuses(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(store_files.os, "link", refuses)
    assert names_in(made(old, tmp_path / "new")) == ["a", "b", "c", "d"]


def test_a_directory_that_holds_something_is_left_alone(old: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "thesis.odt").touch()
    with pytest.raises(DirectoryNotEmpty):
        made(old, tmp_path / "new")
    with pytest.raises(DirectoryNotEmpty):
        made(old, old)
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["thesis.odt"]


def test_what_is_no_node_cannot_be_salvaged(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="not the data directory of a node"):
        read_survivor(tmp_path)


def test_a_torn_tail_is_read_over_and_left_where_it_is(old: Path) -> None:
    log = next((old / "raft").glob("*.log"))
    with log.open("ab") as file:
        file.write(b"\xf5rec")
    (old / "raft" / "00000000000000000002.new").touch()
    before = tree(old)
    assert read_survivor(old).last.index == 11
    assert tree(old) == before


def test_a_damaged_log_is_said_to_be_so(old: Path) -> None:
    log = next((old / "raft").glob("*.log"))
    content = bytearray(log.read_bytes())
    content[60] ^= 1
    log.write_bytes(content)
    with pytest.raises(DamagedLog, match=log.name):
        read_survivor(old)
    assert log.read_bytes() == content


def test_a_damaged_table_is_found_before_there_is_a_new_cluster(tmp_path: Path) -> None:
    old = lost_node(tmp_path / "old", *SETUP, [named("x" * 5_000)] * 20, committed=3, applied=3)
    state = ReplicatedState(old, 1)
    state.store.engine.flush()
    state.close()
    table = max((old / "store").rglob("*.sst"), key=lambda path: path.stat().st_size)
    content = bytearray(table.read_bytes())
    content[100] ^= 1
    table.write_bytes(content)
    with pytest.raises(DamagedStore):
        made(old, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
