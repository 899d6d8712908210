import contextlib
import os
import random
from pathlib import Path

import pytest

from nodes.consensus.checkpoint_files import list_files, read_chunks, same_files, total_bytes
from nodes.consensus.disk import Disk
from nodes.consensus.incoming import Incoming
from quiesce.errors import DiskFailed, DiskFull, InvalidRequest
from quiesce.v1.peer_pb2 import SnapshotChunk, SnapshotOffer, SnapshotReceived

ONE, TWO, THREE = ("1" * 32, "2" * 32, "3" * 32)
CHUNK = 1000
FILES = {"000007.sst": 4500, "000009.sst": 3000, "CURRENT": 16, "deep/empty": 0, "deep/full": 2001}


class PowerLoss(Disk):
    """A disk that forgets what was not synced: the length is there, the bytes are zeros."""

    def __init__(self) -> None:
        self.synced: dict[Path, int] = {}

    def sync(self, descriptor: int, path: Path) -> None:
        super().sync(descriptor, path)
        self.synced[path] = path.stat().st_size

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        if source in self.synced:
            self.synced[target] = self.synced.pop(source)

    def lose(self, below: Path) -> None:
        for _, path in list_files(below):
            size, kept = path.stat().st_size, self.synced.get(path, 0)
            with path.open("r+b") as file:
                file.seek(kept)
                file.write(bytes(size - kept))


class Failing(Disk):
    def sync(self, descriptor: int, path: Path) -> None:
        raise DiskFailed(operation="fdatasync", path=path, detail="Input/output error")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rng = random.Random(1)
    for name, size in FILES.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(size))
    return tmp_path / "source"


def nothing(size: int) -> None:
    pass


def receiver(tmp_path: Path, disk: Disk | None = None) -> Incoming:
    return Incoming(tmp_path / "incoming", disk or Disk(), nothing)


def offer(source: Path, checkpoint_id: str = ONE, earlier: dict[str, list[str]] | None = None) -> SnapshotOffer:
    known = [SnapshotOffer.Earlier(checkpoint_id=one, same_files=names) for one, names in (earlier or {}).items()]
    return SnapshotOffer(checkpoint_id=checkpoint_id, total_bytes=total_bytes(source), earlier=known)


def content(directory: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in list_files(directory)}


def send(incoming: Incoming, source: Path, *, most: int | None = None, checkpoint_id: str = ONE) -> tuple[int, bool]:
    """Send up to `most` chunks of what is not there, as after a restart of both; return (bytes sent, complete)."""
    there = incoming.offer(offer(source, checkpoint_id))
    writer = incoming.writer(checkpoint_id, total_bytes(source))
    sent = 0
    for number, chunk in enumerate(read_chunks(source, CHUNK, there)):
        if number == most:
            break
        writer.write(SnapshotChunk.FromString(chunk.SerializeToString()))
        sent += len(chunk.data)
    writer.abort()
    return sent, writer.complete


def test_a_checkpoint_goes_on_wherever_it_was_cut_off(tmp_path, source):
    chunks = len(list(read_chunks(source, CHUNK, SnapshotReceived())))
    for cut in range(chunks):
        incoming = receiver(tmp_path)
        before, complete = send(incoming, source, most=cut)
        assert not complete
        after, complete = send(receiver(tmp_path), source)
        assert complete
        assert before + after == total_bytes(source)
        assert content(tmp_path / "incoming" / ONE) == content(source)
        incoming.clear()


def test_a_checkpoint_survives_the_loss_of_power_at_any_chunk(tmp_path, source):
    chunks = len(list(read_chunks(source, CHUNK, SnapshotReceived())))
    for cut in range(chunks):
        disk = PowerLoss()
        send(receiver(tmp_path, disk), source, most=cut)
        disk.lose(tmp_path / "incoming")
        complete = False
        for _ in range(2):
            # What the power has spoilt begins anew with the attempt that follows.
            with contextlib.suppress(InvalidRequest):
                _, complete = send(receiver(tmp_path, disk), source)
        assert complete
        assert content(tmp_path / "incoming" / ONE) == content(source)
        receiver(tmp_path).clear()


def test_a_damaged_file_begins_anew_and_no_other_does(tmp_path, source):
    send(receiver(tmp_path), source, most=7)
    part = tmp_path / "incoming" / ONE / "000009.sst.part"
    assert part.stat().st_size == 2000
    part.write_bytes(b"x" + part.read_bytes()[1:])
    with pytest.raises(InvalidRequest, match=r"000009.sst was damaged"):
        send(receiver(tmp_path), source)
    sent, complete = send(receiver(tmp_path), source)
    assert complete
    assert sent == total_bytes(source) - 4500
    assert content(tmp_path / "incoming" / ONE) == content(source)


def test_what_is_there_of_another_checkpoint_is_removed(tmp_path, source):
    send(receiver(tmp_path), source, most=7)
    there = receiver(tmp_path).offer(offer(source, TWO))
    assert (list(there.files), there.file_name) == ([], "")
    assert not list((tmp_path / "incoming").iterdir())


def test_tables_that_the_next_checkpoint_has_too_are_not_sent_again(tmp_path, source):
    following = tmp_path / "following"
    following.mkdir()
    for name in ("000007.sst", "000009.sst"):
        os.link(source / name, following / name)
    (following / "CURRENT").write_bytes(b"another")
    (following / "000011.sst").write_bytes(b"new")
    same = same_files(following, source)
    assert same == {"000007.sst", "000009.sst"}

    send(receiver(tmp_path), source, most=7)
    known = offer(following, THREE, {TWO: ["000007.sst"], ONE: sorted(same)})
    there = receiver(tmp_path).offer(known)
    assert (list(there.files), there.file_name, there.offset) == (["000007.sst"], "000009.sst", 2000)
    sent, complete = send(receiver(tmp_path), following, checkpoint_id=THREE)
    assert complete
    assert sent == total_bytes(following) - 4500 - 2000
    assert content(tmp_path / "incoming" / THREE) == content(following)
    assert [entry.name for entry in (tmp_path / "incoming").iterdir()] == [THREE]


def test_a_file_that_the_next_checkpoint_has_otherwise_is_sent_again(tmp_path, source):
    send(receiver(tmp_path), source, most=9)
    assert (tmp_path / "incoming" / ONE / "CURRENT").exists()
    there = receiver(tmp_path).offer(offer(source, TWO, {ONE: ["000007.sst"]}))
    assert (list(there.files), there.file_name) == (["000007.sst"], "")


def test_a_table_that_was_written_anew_under_its_old_name_is_not_the_same(tmp_path, source):
    following = tmp_path / "following"
    following.mkdir()
    (following / "000007.sst").write_bytes((source / "000007.sst").read_bytes())
    assert same_files(following, source) == frozenset()


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../1", "deep/../../x", "x.part"])
def test_a_file_lies_in_its_checkpoint(tmp_path, name):
    writer = receiver(tmp_path).writer(ONE, 1)
    with pytest.raises(InvalidRequest):
        writer.write(SnapshotChunk(file_name=name, data=b"x"))


@pytest.mark.parametrize("checkpoint_id", ["", ".", "../" + "1" * 29, "g" * 32, "1" * 31])
def test_an_id_that_is_none_is_refused(tmp_path, source, checkpoint_id):
    with pytest.raises(InvalidRequest):
        receiver(tmp_path).offer(offer(source, checkpoint_id))
    with pytest.raises(InvalidRequest):
        receiver(tmp_path).writer(checkpoint_id, 1)


def test_chunks_that_do_not_follow_are_refused_and_what_came_before_stays(tmp_path, source):
    send(receiver(tmp_path), source, most=2)
    writer = receiver(tmp_path).writer(ONE, total_bytes(source))
    with pytest.raises(InvalidRequest, match="out of order"):
        writer.write(SnapshotChunk(file_name="000007.sst", offset=3000, data=b"x"))
    with pytest.raises(InvalidRequest, match="of a checkpoint of"):
        receiver(tmp_path).writer(ONE, total_bytes(source)).write(SnapshotChunk(last=True))
    assert receiver(tmp_path).offer(offer(source)).offset == 2000


def test_a_file_that_was_not_synced_never_bears_its_name(tmp_path, source):
    with pytest.raises(DiskFailed):
        send(receiver(tmp_path, Failing()), source)
    assert [name for name, _ in list_files(tmp_path / "incoming")] == [f"{ONE}/000007.sst.part"]


def test_room_is_asked_for_what_is_still_to_come(tmp_path, source):
    asked: list[int] = []

    def room(size: int) -> None:
        asked.append(size)
        if size > 5000:
            raise DiskFull(node_id=1, path="p", free=1, reserve=2)

    incoming = Incoming(tmp_path / "incoming", Disk(), room)
    with pytest.raises(DiskFull):
        incoming.offer(offer(source))
    assert asked == [total_bytes(source)]
    send(receiver(tmp_path), source, most=7)
    incoming.offer(offer(source))
    assert asked[1] == total_bytes(source) - 6500
