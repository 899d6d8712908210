"""The store itself: pinned views, damage that is noticed, and the ways in and out: checkpoint, reader, loader."""

import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from state_entries import (
    Replica,
    alter,
    body,
    command,
    content,
    create,
    create_in,
    delete,
    new_class,
    new_database,
    new_index,
    update,
    write,
)

from nodes.store import CheckpointReader, Store, StoreLoader, keys, packing
from nodes.store.engine import MEMTABLE_BYTES, META, PAGES, RECORDS, Engine
from quiesce.errors import (
    AnswerTooLarge,
    DamagedStore,
    DatabaseImporting,
    DirectoryInUse,
    DirectoryNotEmpty,
    IndexNotMaintained,
    InvalidRequest,
    QuiesceError,
    StoreClosed,
    UnknownDatabase,
    UnknownIndex,
    UnknownRecordCluster,
)
from quiesce.records.rid import MAX_POSITION
from quiesce.v1 import database_pb2 as db
from quiesce.v1 import record_pb2
from quiesce.v1.record_pb2 import RecordId


@pytest.fixture
def people(tmp_path: Path) -> Replica:
    replica = Replica(tmp_path / "data")
    replica.ok(new_database(), alter(new_class("Person"), new_index("Person", "name"), new_index("Person", "city")))
    return replica


def fill(replica: Replica, count: int) -> None:
    for first in range(0, count, 500):
        replica.ok(write(*[create("Person", name=str(n), city=str(n)) for n in range(first, min(first + 500, count))]))


# --- views


def test_a_get_that_no_message_would_hold_is_refused(people: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    people.ok(write(*[create("Person", name=str(n), city=f"{n:0400}") for n in range(3)]))
    ids = [RecordId(cluster=6, position=n) for n in range(3)]
    monkeypatch.setattr("nodes.store.view.ANSWER_BYTES", 1000)
    with people.state.store.view() as view:
        assert len(view.get("people", ids[:2])[0]) == 2
        with pytest.raises(AnswerTooLarge, match="3 records"):
            view.get("people", ids)


def test_a_view_is_of_one_moment(people: Replica) -> None:
    people.write(create("Person", name="Ada", city="x"))
    view = people.state.store.view()
    scan = view.scan_cluster("people", 6)
    people.write(delete(6, 0), create("Person", name="Ada", city="y"))
    people.ok(alter(db.SchemaChange(drop_index="Person.city")))
    assert view.applied[0] == people.state.applied[0] - 2
    assert [r.position for batch in scan for r in batch] == [0]
    assert view.lookup("people", "Person.name", [b'["Ada"]'], 9)[0].records[0].position == 0
    assert len(view.database("people").indexes) == 2
    assert view.database("people").clusters[6].next_position == 1
    view.close()
    assert [entry[2] for entry in people.index("Person.name")] == [1]


def test_a_closed_view_is_not_read(people: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "STEP_RECORDS", 2)
    fill(people, 10)
    view = people.state.store.view()
    scan = view.scan_cluster("people", 6)
    next(scan)
    view.close()
    view.close()
    with pytest.raises(StoreClosed):
        next(scan)
    with pytest.raises(StoreClosed):
        view.get("people", [RecordId(cluster=6)])
    other = people.state.store.view()
    people.state.close()
    assert len(other.get("people", [RecordId(cluster=6)])[0]) == 1
    other.close()
    with pytest.raises(StoreClosed):
        people.state.store.view()
    # A closed view holds nothing: neither the memory nor the lock of the store.
    del scan
    people.reopen()
    assert len(people.bodies(6)) == 10


def test_get_in_order_with_what_is_missing(people: Replica) -> None:
    fill(people, 3)
    ids = [RecordId(cluster=c, position=p) for c, p in ((6, 2), (6, 9), (6, 0), (70_000, 0))]
    with people.state.store.view() as view:
        records, missing = view.get("people", ids)
    assert [r.position for r in records] == [2, 0]
    assert missing == [ids[1], ids[3]]


def test_scan_goes_on_behind_a_record(people: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "STEP_RECORDS", 4)
    fill(people, 10)
    with people.state.store.view() as view:
        batches = list(view.scan_cluster("people", 6, after=3))
        assert [[r.position for r in batch] for batch in batches] == [[4, 5, 6, 7], [8, 9]]
        assert list(view.scan_cluster("people", 6, after=MAX_POSITION)) == []
        for limit in range(8):
            packed = list(view.scan_packed("people", 6, 3, limit))
            assert sum(one.records for one in packed) == min(limit, 6)
            found = record_pb2.ScanResponse.FromString(b"".join(one.wire for one in packed)).records
            assert [r.position for r in found] == list(range(4, 10))[:limit]


def test_scan_steps_are_bounded_in_bytes(people: Replica) -> None:
    people.ok(write(*[create_in(3, body(x="x" * 30_000)) for _ in range(7)]))
    with people.state.store.view() as view:
        assert [len(batch) for batch in view.scan_cluster("people", 3)] == [3, 3, 1]


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda view: view.database("none"), UnknownDatabase),
        (lambda view: view.scan_cluster("people", 99), UnknownRecordCluster),
        (lambda view: view.lookup("people", "none", [b"[]"], 1), UnknownIndex),
        (lambda view: view.lookup("people", "Person.name", [b"[]"], 1), InvalidRequest),
        (lambda view: view.lookup("people", "Person.name", [b"x"], 1), InvalidRequest),
        (lambda view: view.lookup("people", "Person.name", [b"[[1]]"], 1), InvalidRequest),
        (lambda view: view.lookup("importing", "f", [b"[]"], 1), DatabaseImporting),
        (lambda view: view.get("importing", []), DatabaseImporting),
        (lambda view: view.class_clusters("importing", "A"), DatabaseImporting),
        (lambda view: view.scan_index("other", "f"), IndexNotMaintained),
    ],
)
def test_wrong_questions(people: Replica, ask: Callable[..., object], error: type[QuiesceError]) -> None:
    fulltext = db.SchemaChange(create_index=db.IndexDefinition(name="f", type="FULLTEXT"))
    people.ok(new_database("importing", importing=True), new_database("other", importing=True))
    people.ok(alter(fulltext, database="other"))
    people.ok(command(publish_database=db.PublishDatabaseRequest(name="other")))
    with people.state.store.view() as view, pytest.raises(error):
        ask(view)


def test_views_beside_a_writer_are_each_of_one_moment(people: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write sets all counters alike: a view that shows two of them has mixed two moments."""
    monkeypatch.setattr(packing, "STEP_RECORDS", 3)
    people.ok(write(*[create_in(3, b'{"n":0}') for _ in range(20)]))
    ended = threading.Event()
    seen: set[int] = set()
    problems: list[str] = []

    def read() -> None:
        while not ended.is_set():
            with people.state.store.view() as view:
                scanned = [r.body for batch in view.scan_cluster("people", 3) for r in batch]
                got = [r.body for r in view.get("people", [RecordId(cluster=3, position=n) for n in range(20)])[0]]
                if len({*scanned, *got, b'{"n":%d}' % (view.applied[0] - base)}) != 1:
                    problems.append(f"{view.applied} {scanned} {got}")
                seen.add(view.applied[0])

    base = people.state.applied[0]
    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    n = 0
    while len(seen) < 10 and n < 20_000:
        n += 1
        people.ok(write(*[update_to(3, position, n) for position in range(20)]))
    ended.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(seen) >= 10


def update_to(cluster: int, position: int, n: int) -> record_pb2.Operation:
    return update(cluster, position, b'{"n":%d}' % n)


# --- damage


def test_a_second_opener_is_refused(people: Replica, tmp_path: Path) -> None:
    with pytest.raises(DirectoryInUse):
        Store(tmp_path / "data" / "store")


def test_a_damaged_block_is_never_served(people: Replica) -> None:
    rng = random.Random(1)
    people.ok(write(*[create_in(3, rng.randbytes(5000), 2) for _ in range(100)]))
    people.state.store.engine.flush()
    people.state.close()
    tables = sorted((people.directory / "store" / "store-1").glob("*.sst"), key=lambda path: path.stat().st_size)
    damaged = bytearray(tables[-1].read_bytes())
    damaged[len(damaged) // 3] ^= 0x10
    tables[-1].write_bytes(damaged)
    # RocksDB's own iterator just ends at such a block.
    people.state = type(people.state)(people.directory, 1)
    with people.state.store.view() as view:
        with pytest.raises(DamagedStore, match="checksum"):
            for _ in view.scan_cluster("people", 3):
                pass
        with pytest.raises(DamagedStore, match="checksum"):
            view.get("people", [RecordId(cluster=3, position=n) for n in range(100)])


def test_a_store_of_another_format_is_refused(people: Replica) -> None:
    engine = people.state.store.engine
    batch = engine.new_batch()
    engine.target(batch, META)
    batch[keys.FORMAT] = b"\x00\x00\x00\x09"
    engine.write(batch)
    with pytest.raises(DamagedStore, match="format"):
        people.reopen()


def test_current_must_name_a_store(tmp_path: Path) -> None:
    (tmp_path / "CURRENT").write_text("../elsewhere")
    with pytest.raises(DamagedStore):
        Store(tmp_path)
    (tmp_path / "CURRENT").write_text("store-7")
    with pytest.raises(DamagedStore, match="store-7 is missing"):
        Store(tmp_path)


# --- checkpoints


def test_reader_in_another_process_while_the_node_goes_on(people: Replica, tmp_path: Path) -> None:
    fill(people, 1500)
    people.ok(new_database("system"))
    people.state.checkpoint(tmp_path / "cp")
    before = sorted(path.name for path in (tmp_path / "cp").iterdir() if path.suffix == ".sst")
    people.ok(write(*[delete(6, n) for n in range(1500)]))
    people.state.store.engine.flush()
    code = f"""
from pathlib import Path
from nodes.store import CheckpointReader
directory = Path({str(tmp_path / "cp")!r})
with CheckpointReader(directory) as reader, CheckpointReader(directory) as two:
    [database] = reader.databases()
    print(reader.applied[0], database.clusters[6].records, list(reader.pages(database.id)))
    print([position for position, *_ in two.records_of(database.id, 6, 1022, 1025)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    applied = people.state.applied[0] - 1
    assert done.stdout.splitlines() == [
        f"{applied} 1500 [(6, 0, {applied - 1}), (6, 1, {applied - 1})]",
        "[1022, 1023, 1024, 1025]",
    ], done.stderr
    assert sorted(path.name for path in (tmp_path / "cp").iterdir() if path.suffix == ".sst") == before


def test_reader_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(DamagedStore):
        CheckpointReader(tmp_path)


# --- loading


def test_loaded_store_is_the_one_that_was_applied(people: Replica, tmp_path: Path) -> None:
    people.ok(alter(new_class("Employee", super_classes=["Person"])), new_database("other"))
    fill(people, 2500)
    people.write(create("Employee", name="boss"), create_in(3, b"\x00", 2))
    people.ok(write(*[delete(6, n) for n in range(1024, 2048)], update_of(0)))
    people.state.checkpoint(tmp_path / "cp")
    index, term = people.state.applied[0] + 1_000_000_000, 9
    loader = StoreLoader(tmp_path / "new" / "store")
    told: list[int] = []
    with CheckpointReader(tmp_path / "cp") as reader:
        for database in reader.databases():
            assert loader.add_database(database) == database.id
            for cluster in database.clusters:
                # In two parts, as from two packs.
                for first, last in ((0, 1023), (1024, 9999)):
                    loader.load_records(
                        database.id, cluster.id, reader.records_of(database.id, cluster.id, first, last)
                    )
        entries = loader.finish(index, term, told.append)
    assert entries == told[-1] == 2 * (2500 - 1024 + 1)
    loaded = Replica(tmp_path / "new")
    assert loaded.state.applied == (index, term)
    old, new = content(people.state.store), content(loaded.state.store)
    # Pages: those with no record are not loaded; all are as new as the restore.
    assert [key for key, _ in new[PAGES]] == [key for key, _ in old[PAGES] if key[-1] != 1]
    assert {value for _, value in new.pop(PAGES)} == {keys.STAMP.pack(index)}
    old.pop(PAGES)
    assert new == old
    assert loaded.write(create("Person", name="next", city="next")).write.written[0].position == 2500
    assert loaded.refused(write(create("Person", name="0", city="elsewhere", x=1)))[0] == "DUPLICATE_KEY"


def update_of(position: int) -> record_pb2.Operation:
    return update(6, position, body("Person", name="0", city="moved"))


def test_loader_refuses_what_is_not_in_order(tmp_path: Path) -> None:
    loader = StoreLoader(tmp_path)
    loader.add_database(db.Database(id=3, name="d", state=db.DATABASE_STATE_ONLINE, clusters=[db.Cluster(id=1)]))
    with pytest.raises(InvalidRequest, match="position 4 of cluster 1 comes after 5"):
        loader.load_records(3, 1, [(5, 1, 2, b""), (4, 1, 2, b"")])
    with pytest.raises(UnknownRecordCluster):
        loader.load_records(3, 2, [])
    with pytest.raises(InvalidRequest):
        loader.add_database(db.Database(id=3, name="again"))
    with pytest.raises(DirectoryNotEmpty):
        StoreLoader(tmp_path)


def test_unfinished_load_is_no_store(tmp_path: Path) -> None:
    loader = StoreLoader(tmp_path)
    loader.add_database(db.Database(id=3, name="d", state=db.DATABASE_STATE_ONLINE, clusters=[db.Cluster(id=1)]))
    loader.load_records(3, 1, [(5, 1, 2, b"")])
    del loader
    with pytest.raises(DamagedStore, match="not finished"):
        Store(tmp_path)


# --- RocksDB


def test_engine_scan_is_of_the_range(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    batch = engine.new_batch()
    engine.target(batch, RECORDS)
    for key in (b"\x00", b"\x01", b"\x01\xff", b"\x02", b"\xff"):
        batch[key] = b""
    engine.write(batch)
    assert [key for key, _ in engine.scan(RECORDS, b"\x01", keys.after(b"\x01"))] == [b"\x01", b"\x01\xff"]
    assert len(list(engine.scan(RECORDS, b"", keys.after(b"")))) == 5
    assert keys.after(b"\x01\xff\xff") == b"\x02"
    assert MEMTABLE_BYTES


def test_batch_removes_a_range_before_it_puts(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    for _ in range(2):
        batch = engine.new_batch()
        engine.delete_range(batch, RECORDS, b"a", b"z")
        engine.target(batch, RECORDS)
        batch[b"m"] = b"1"
        engine.write(batch)
        assert list(engine.scan(RECORDS, b"", keys.after(b""))) == [(b"m", b"1")]
