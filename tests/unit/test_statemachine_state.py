"""Applying entries: once each, as a whole, with the same result on every replica; marks, checkpoints, installing."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_entries import (
    Entry,
    Replica,
    adopt,
    alter,
    change,
    command,
    content,
    create,
    create_in,
    delete,
    drain,
    entry,
    mark,
    new_class,
    new_database,
    new_index,
    renew,
    tick,
    undrain,
    update,
    write,
)

from nodes.statemachine import ReplicatedState
from nodes.store import CheckpointReader, fsync
from quiesce.errors import DamagedStore
from quiesce.v1 import database_pb2, record_pb2

UNIT = Path(__file__).parent


# --- determinism


def story(seed: int) -> list[Entry]:
    """A log with some of everything, failures included."""
    rng = random.Random(seed)
    entries = [
        entry(5, new_database(), command(open_session=record_pb2.OpenSessionRequest(client="c"))),
        entry(6),
        entry(7, alter(new_class("Person"), new_index("Person", "name")), new_database("other")),
    ]
    session = (5 << 16) + 1
    choices = (
        lambda n: write(create("Person", name=str(rng.randrange(30))), session_id=session, sequence=n),
        lambda n: write(update(6, rng.randrange(9), b'{"@class":"Person","name":"%d"}' % rng.randrange(30))),
        lambda n: write(create("Person", name=str(rng.randrange(30))), delete(6, rng.randrange(9))),
        lambda n: alter(new_index("Person", f"f{n}", kind="NOTUNIQUE")),
        lambda n: alter(new_class(f"Sub{rng.randrange(4)}", super_classes=["Person"])),
        lambda n: alter(database_pb2.SchemaChange(drop_class=f"Sub{rng.randrange(4)}")),
        lambda n: alter(database_pb2.SchemaChange(drop_index=f"Person.f{rng.randrange(60)}")),
        lambda n: write(create(f"Sub{rng.randrange(4)}", name=str(rng.randrange(60)))),
        lambda n: write(create_in(3, b"{}"), database="other"),
        lambda n: command(drop_database=database_pb2.DropDatabaseRequest(name="other")),
        lambda n: new_database("other"),
        lambda n: drain(1, ttl_ms=rng.randrange(1, 99)),
        lambda n: mark(rng.randrange(60)),
        lambda n: tick(n * 10),
    )
    number = 0
    for index in range(8, 48):
        commands = []
        for _ in range(rng.randrange(4)):
            number += 1
            commands.append(rng.choice(choices)(number))
        entries.append(entry(index, *commands))
    return entries


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_grouping_and_restarts_change_nothing(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    entries = story(seed)
    one = ReplicatedState(tmp_path_factory.mktemp("one"), 1)
    answers = one.apply(entries)
    rng = random.Random(seed)
    directory = tmp_path_factory.mktemp("two")
    two = ReplicatedState(directory, 2)
    answers_two = []
    at = 0
    while at < len(entries):
        count = rng.randrange(1, 6)
        # Some come twice: what is applied already is passed over.
        answers_two += two.apply(entries[max(0, at - rng.randrange(3)) : at + count])
        at += count
        if rng.random() < 0.3:
            two.close()
            two = ReplicatedState(directory, 2)
    assert answers_two == answers
    assert content(two.store, progress=True) == content(one.store, progress=True)
    assert two.applied == one.applied == (47, 1)
    one.close()
    two.close()


def test_missing_entry_is_noticed(tmp_path: Path) -> None:
    state = ReplicatedState(tmp_path, 1)
    state.apply([entry(5, new_database())])
    with pytest.raises(DamagedStore, match="6 is missing before 7"):
        state.apply([entry(7)])
    with pytest.raises(DamagedStore, match="entry 6"):
        state.apply([Entry(6, 1, b"\xff\xff")])


CRASH = """
import sys, os
sys.path.insert(0, {unit!r})
from pathlib import Path
from state_entries import *
replica = Replica(Path({directory!r}))
replica.ok(new_database())
replica.ok(alter(new_class("Person"), new_index("Person", "name")))
for n in range(50):
    replica.ok(write(create("Person", name=str(n))))
    print(replica.state.applied[0], flush=True)
os.kill(os.getpid(), 9)
"""


def test_killed_process_keeps_what_was_applied(tmp_path: Path) -> None:
    code = CRASH.format(unit=str(UNIT), directory=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=UNIT.parents[1])
    assert done.returncode == -signal.SIGKILL, done.stderr
    replica = Replica(tmp_path)
    assert replica.state.applied == (int(done.stdout.split()[-1]), 1)
    assert len(replica.bodies(6)) == len(replica.index("Person.name")) == 50


def test_crash_between_two_parts_of_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry whose middle rewrites the schema goes to disk in parts; each command must count once all the same."""
    commands = (
        write(create("Person", name="a")),
        alter(new_index("Person", "name")),
        write(create("Person", name="b")),
        alter(new_index("Person", "x", kind="NOTUNIQUE")),
        write(create("Person", name="c")),
    )
    prepare = [entry(1, new_database()), entry(2, alter(new_class("Person")))]
    whole = ReplicatedState(tmp_path / "whole", 1)
    whole.apply([*prepare, entry(3, *commands)])
    for writes in range(1, 12):
        directory = tmp_path / str(writes)
        state = ReplicatedState(directory, 1)
        state.apply(prepare)
        crashed = _crash_at_write(state, writes, entry(3, *commands), monkeypatch)
        state.close()
        state = ReplicatedState(directory, 1)
        with state.store.view() as view:
            assert view.applied[0] in (2, 3)
            # Whoever sees a part of the entry is not told that it is the state before it.
            part = {person.body for batch in view.scan_cluster("people", 6) for person in batch}
            assert view.index == (3 if part or view.database("people").indexes else 2)
        state.apply([entry(3, *commands)])
        assert content(state.store, progress=True) == content(whole.store, progress=True), writes
        state.close()
        if not crashed:
            return
    raise AssertionError("it always crashed")


class _Crash(BaseException):
    """Nothing may catch the end of a process."""


def _crash_at_write(state: ReplicatedState, number: int, last: Entry, monkeypatch: pytest.MonkeyPatch) -> bool:
    left = number
    engine = state.store.engine
    real = engine.write

    def write_or_die(batch: object, *, wal: bool = True) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise _Crash
        real(batch, wal=wal)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "write", write_or_die)
        try:
            state.apply([last])
        except _Crash:
            return True
    return False


FULL = """
import sys, resource, signal
sys.path.insert(0, {unit!r})
from pathlib import Path
from state_entries import *
from quiesce.errors import DiskFailed
replica = Replica(Path({directory!r}))
replica.ok(new_database())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for n in range(100):
        replica.ok(write(*[create_in(3, b'{{"n":"' + b'x' * 9000 + b'"}}')]))
        print(replica.state.applied[0], flush=True)
except DiskFailed as error:
    print(error, file=sys.stderr)
    raise SystemExit(error.exit_code)
"""


def test_disk_that_takes_no_more(tmp_path: Path) -> None:
    code = FULL.format(unit=str(UNIT), directory=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=UNIT.parents[1])
    assert done.returncode == 72, done.stderr
    assert "The node stops" in done.stderr
    replica = Replica(tmp_path)
    assert replica.state.applied[0] >= int(done.stdout.split()[-1])
    assert len(replica.bodies(3)) == replica.state.applied[0] - 1


# --- marks and checkpoints


def test_checkpoint_is_the_mark_exactly(tmp_path: Path) -> None:
    replica = Replica(tmp_path, node_id=2)
    taken: list[tuple[int, int]] = []
    replica.state.on_checkpoint = lambda epoch, mark: taken.append((epoch, mark.index))
    replica.ok(new_database())
    [outcome] = replica.ok(drain(2))
    epoch = outcome.lease.epoch
    entries = [
        entry(3, write(create_in(3, b'{"n":1}'))),
        # The mark is an entry: what shares it with the command is in, before it and after it.
        entry(4, write(create_in(3, b'{"n":2}')), mark(epoch), write(create_in(3, b'{"n":3}'))),
        entry(5, write(create_in(3, b'{"n":4}'))),
    ]
    outcomes = replica.state.apply(entries)
    assert [o.mark.index for _, o in outcomes if o.HasField("mark")] == [4]
    assert taken == [(epoch, 4)]
    with CheckpointReader(tmp_path / "checkpoints" / str(epoch)) as reader:
        assert reader.applied == (4, 1)
        [database] = reader.databases()
        bodies = [body for _, _, _, body in reader.records_of(database.id, 3, 0, 99)]
        assert bodies == [b'{"n":1}', b'{"n":2}', b'{"n":3}']
        assert list(reader.pages(database.id)) == [(3, 0, 4)]
        assert database.clusters[3].records == 3
    assert len(replica.bodies(3)) == 4
    # A later mark of the same lease takes its place; the end of the lease removes it.
    replica.ok(mark(epoch))
    with CheckpointReader(tmp_path / "checkpoints" / str(epoch)) as reader:
        assert reader.applied == (6, 1)
    replica.ok(undrain(epoch))
    assert replica.state.checkpoints.epochs() == []


def test_other_replicas_take_no_checkpoint(tmp_path: Path) -> None:
    replica = Replica(tmp_path, node_id=1)
    replica.ok(drain(2))
    assert replica.ok(mark(1))[0].HasField("mark")
    assert replica.state.checkpoints.epochs() == []


def test_lease_given_back_in_the_marks_entry_leaves_no_checkpoint(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.ok(drain(1))
    replica.ok(mark(1), undrain(1))
    assert replica.state.checkpoints.epochs() == []


def test_start_removes_checkpoints_of_ended_leases(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    replica.ok(drain(1, ttl_ms=1000))
    replica.ok(mark(1))
    for name in ("77", ".1.part"):
        (tmp_path / "checkpoints" / name).mkdir()
    replica.reopen()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["1"]
    replica.ok(undrain(1))
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_every_voter_keeps_a_checkpoint_to_attest_until_the_lease_ends(tmp_path: Path) -> None:
    replicas = [Replica(tmp_path / str(node), node_id=node) for node in (1, 2, 3)]
    for replica in replicas:
        replica.ok(adopt(1, 2), change(add=(3, "n:3")))
        replica.ok(new_database())
        replica.ok(drain(2))
        (outcome,) = replica.ok(mark(3, attest=True))
        assert outcome.mark.index == 4
        replica.ok(new_database("after"))
    # The third has no vote.
    assert [replica.state.checkpoints.epochs() for replica in replicas] == [[3], [3], []]
    for replica in replicas[:2]:
        with CheckpointReader(replica.state.checkpoints.path(3)) as reader:
            assert reader.applied == (4, 1)
            assert [database.name for database in reader.databases()] == ["people"]
        # A renewal is not its end, nor is a restart.
        replica.ok(renew(3, 60_000))
        replica.reopen()
        assert replica.state.checkpoints.epochs() == [3]
        replica.ok(undrain(3))
        assert replica.state.checkpoints.epochs() == []


def test_a_node_without_room_declines_to_attest_but_not_to_be_backed_up(tmp_path: Path) -> None:
    replica = Replica(tmp_path, node_id=1)
    replica.state.may_attest = lambda: False
    replica.ok(drain(2))
    replica.ok(mark(1, attest=True))
    assert replica.state.checkpoints.epochs() == []
    replica.ok(undrain(1))
    replica.ok(drain(1))
    replica.ok(mark(4, attest=True))
    assert replica.state.checkpoints.epochs() == [4]


# --- installing a state from the leader


def test_install_replaces_everything(tmp_path: Path) -> None:
    leader = Replica(tmp_path / "leader")
    leader.ok(new_database(), alter(new_class("Person"), new_index("Person", "name")), drain(1))
    leader.write(create("Person", name="Ada"))
    follower = Replica(tmp_path / "follower", node_id=2)
    follower.ok(new_database("stale"))
    told: list[object] = []
    follower.state.on_lease_changed = told.append
    made = leader.state.checkpoint(tmp_path / "sent")
    assert (made.index, made.term) == leader.state.applied == (2, 1)
    old = follower.state.store.view()
    follower.state.install(tmp_path / "sent")
    assert follower.state.applied == (2, 1)
    assert told == [leader.state.store.state.lease]
    # A view that was open finishes on what it saw; its directory goes with it.
    assert [database.name for database in old.databases()] == ["stale"]
    old.close()
    names = sorted(path.name for path in (tmp_path / "follower" / "store").iterdir())
    assert names == ["CURRENT", "store-2"]
    assert content(follower.state.store, progress=True) == content(leader.state.store, progress=True)
    more = entry(3, write(create("Person", name="Bob")))
    assert follower.state.apply([more]) == leader.state.apply([more])
    follower.reopen()
    assert content(follower.state.store, progress=True) == content(leader.state.store, progress=True)


def test_crash_while_installing_leaves_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leader = Replica(tmp_path / "leader")
    leader.ok(new_database("new"))
    steps = [name for name in ("sync_tree", "sync_directory", "write_durably") for _ in range(2)]
    for number, step in enumerate(steps):
        follower = Replica(tmp_path / f"follower-{number}", node_id=2)
        follower.ok(new_database("old"))
        sent = tmp_path / f"sent-{number}"
        leader.state.checkpoint(sent)
        real, calls = getattr(fsync, step), 0

        def die(*args: object, real: object = real, number: int = number) -> None:
            nonlocal calls
            calls += 1
            # On the first call before the step, on the second after it.
            if number % 2:
                real(*args)  # type: ignore[operator]
            raise _Crash

        with monkeypatch.context() as patch:
            patch.setattr(fsync, step, die)
            with pytest.raises(_Crash):
                follower.state.install(sent)
        follower.reopen()
        with follower.state.store.view() as view:
            expected = "new" if (step, number % 2) == ("write_durably", 1) else "old"
            assert [database.name for database in view.databases()] == [expected], step
        follower.state.close()


def test_install_of_what_is_no_checkpoint_keeps_the_old(tmp_path: Path) -> None:
    replica = Replica(tmp_path / "data")
    replica.ok(new_database())
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "000001.sst").write_bytes(b"nonsense")
    with pytest.raises(DamagedStore):
        replica.state.install(tmp_path / "sent")
    assert replica.write(create_in(3, b"{}")).HasField("write")


def test_durable_index(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    assert replica.state.durable_index() == 0
    replica.ok(new_database())
    assert replica.state.durable_index() == 1
