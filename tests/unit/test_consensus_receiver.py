import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from nodes.consensus.checkpoint_files import list_files, read_chunks, total_bytes
from nodes.consensus.checkpoint_receiver import CheckpointReceiver
from nodes.consensus.disk import Disk
from nodes.consensus.options import ConsensusOptions
from quiesce.errors import DiskFailed, DiskFull, DiskOutOfSpace, InvalidRequest, NotLeader, Overloaded
from quiesce.v1.peer_pb2 import SnapshotChunk, SnapshotOffer, SnapshotReceived

pytestmark = pytest.mark.timeout(30)
ID = "a" * 32
# An eraftpb.Message of type MsgSnapshot.
MESSAGE = b"\x08\x07"


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


class Sender:
    """Sends what it is told to, when it is told to."""

    def __init__(self, directory: Path, node_id: int = 2) -> None:
        self.directory = directory
        self.node_id = node_id
        self.queue: asyncio.Queue[SnapshotChunk] = asyncio.Queue()

    def offer(self) -> SnapshotOffer:
        return SnapshotOffer(from_node_id=self.node_id, checkpoint_id=ID, total_bytes=total_bytes(self.directory))

    def send(self, there: SnapshotReceived, most: int = 1000) -> None:
        size = total_bytes(self.directory)
        header = SnapshotChunk.Header(from_node_id=self.node_id, message=MESSAGE, checkpoint_id=ID, total_bytes=size)
        self.queue.put_nowait(SnapshotChunk(header=header))
        for number, chunk in enumerate(read_chunks(self.directory, 1000, there)):
            if number < most:
                self.queue.put_nowait(chunk)

    async def chunks(self) -> AsyncIterator[SnapshotChunk]:
        while True:
            yield await self.queue.get()


class World:
    def __init__(self, root: Path, **options: object) -> None:
        self.root = root
        self.leader = 2
        self.installed: list[Path] = []
        self.taken: asyncio.Future[bool] | None = None
        (root / "raft").mkdir()
        (root / "source").mkdir()
        for number in range(5):
            (root / "source" / f"{number}.sst").write_bytes(bytes([number]) * 2500)
        self.options = ConsensusOptions(**options)
        self.receiver = self.start()

    def start(self) -> CheckpointReceiver:
        receiver = CheckpointReceiver(
            node_id=1,
            directory=self.root / "raft" / "incoming",
            leader=lambda: self.leader,
            install=self.install,
            options=self.options,
        )
        receiver.start()
        return receiver

    async def install(self, directory: Path, message: bytes, index: int) -> bool:
        self.installed.append(directory)
        assert {path.read_bytes() for _, path in list_files(directory)} == {bytes([n]) * 2500 for n in range(5)}
        return True if self.taken is None else await self.taken

    def sender(self, node_id: int = 2) -> Sender:
        return Sender(self.root / "source", node_id)

    def receive(self, sender: Sender) -> asyncio.Task[None]:
        return asyncio.create_task(self.receiver.receive(sender.chunks(), lambda cluster, node: None))

    def there(self) -> int:
        while True:
            try:
                return total_bytes(self.root / "raft" / "incoming")
            except FileNotFoundError:
                # It is being removed at this moment.
                continue

    async def has(self, size: int) -> None:
        await until(lambda: self.there() >= size)


async def test_what_arrived_whole_is_installed_and_nothing_is_left(tmp_path):
    world = World(tmp_path)
    sender = world.sender()
    sender.send(await world.receiver.progress(sender.offer()))
    await world.receive(sender)
    assert [path.name for path in world.installed] == [ID]
    assert world.there() == 0


async def test_a_node_that_does_not_lead_is_refused(tmp_path):
    world = World(tmp_path)
    sender = world.sender(3)
    with pytest.raises(NotLeader):
        await world.receiver.progress(sender.offer())
    sender.send(SnapshotReceived())
    with pytest.raises(NotLeader):
        await world.receive(sender)
    assert world.there() == 0
    # Where no leader is known, whoever comes is one.
    world.leader = 0
    await world.receiver.progress(sender.offer())


async def test_the_leaders_next_attempt_takes_the_place_of_one_that_hangs(tmp_path):
    world = World(tmp_path)
    first, second = world.sender(), world.sender()
    first.send(await world.receiver.progress(first.offer()), most=7)
    hanging = world.receive(first)
    await world.has(5500)
    there = await world.receiver.progress(second.offer())
    with pytest.raises(Overloaded):
        await hanging
    assert (list(there.files), there.file_name, there.offset) == (["0.sst", "1.sst"], "2.sst", 1000)
    second.send(there)
    await world.receive(second)
    assert len(world.installed) == 1


async def test_a_leader_takes_the_place_of_the_one_before(tmp_path):
    world = World(tmp_path)
    old, new = world.sender(2), world.sender(3)
    old.send(await world.receiver.progress(old.offer()), most=7)
    hanging = world.receive(old)
    await world.has(5500)
    world.leader = 3
    new.send(await world.receiver.progress(new.offer()))
    await world.receive(new)
    with pytest.raises(Overloaded):
        await hanging
    with pytest.raises(NotLeader):
        await world.receiver.progress(old.offer())


async def test_a_sender_that_stalls_is_not_waited_for_and_what_arrived_stays(tmp_path):
    world = World(tmp_path, snapshot_stall_s=0.1)
    sender = world.sender()
    sender.send(await world.receiver.progress(sender.offer()), most=4)
    with pytest.raises(InvalidRequest, match="too early"):
        await world.receive(sender)
    assert world.there() == 3500


async def test_a_checkpoint_leaves_the_disk_its_reserve(tmp_path):
    world = World(tmp_path, reserve_bytes=1 << 60)
    sender = world.sender()
    with pytest.raises(DiskFull) as caught:
        await world.receiver.progress(sender.offer())
    assert caught.value.fields["reserve"] == str((1 << 60) + 12_500)
    world.options = ConsensusOptions()
    world.receiver = world.start()
    await world.receiver.progress(sender.offer())


class Dying(Disk):
    error: type[DiskFailed] | None = None

    def write(self, descriptor: int, data: bytes, path: Path) -> None:
        if self.error is not None:
            raise self.error(operation="write", path=path, detail="why")
        super().write(descriptor, data, path)


@pytest.mark.parametrize("error", [DiskOutOfSpace, DiskFailed])
async def test_a_disk_that_refuses_gets_its_room_back_and_only_one_that_fails_ends_the_node(tmp_path, error):
    disk, fatal = Dying(), []
    world = World(tmp_path, disk=disk, on_fatal=fatal.append)
    sender = world.sender()
    sender.send(await world.receiver.progress(sender.offer()), most=4)
    receiving = world.receive(sender)
    await world.has(3500)
    disk.error = error
    sender.queue.put_nowait(SnapshotChunk(file_name="1.sst", offset=1000, data=b"x"))
    with pytest.raises(error):
        await receiving
    assert world.there() == 0
    assert [type(one) for one in fatal] == ([DiskFailed] if error is DiskFailed else [])
    disk.error = None
    again = world.sender()
    again.send(await world.receiver.progress(again.offer()))
    await world.receive(again)
    assert len(world.installed) == 1


async def test_an_installation_goes_on_although_its_caller_has_gone(tmp_path):
    world = World(tmp_path)
    world.taken = asyncio.get_running_loop().create_future()
    sender = world.sender()
    sender.send(await world.receiver.progress(sender.offer()))
    receiving = world.receive(sender)
    await until(lambda: world.installed)
    receiving.cancel()
    await asyncio.wait([receiving])
    with pytest.raises(Overloaded):
        await world.receiver.progress(sender.offer())
    assert world.there() == 12_500
    world.taken.set_result(True)
    await until(lambda: world.receiver._installing is None)
    assert world.there() == 0
    await world.receiver.progress(sender.offer())
    assert len(world.installed) == 1


async def test_what_nobody_comes_for_is_removed_and_a_restart_keeps_it_till_then(tmp_path):
    world = World(tmp_path, snapshot_stall_s=0.05)
    sender = world.sender()
    sender.send(await world.receiver.progress(sender.offer()), most=4)
    with pytest.raises(InvalidRequest):
        await world.receive(sender)
    await world.receiver.stop()
    world.options = ConsensusOptions(checkpoint_keep_s=0.05)
    assert world.there() == 3500
    world.start()
    await until(lambda: not world.there())
