"""What `quiesce check` says of a directory, and that it leaves every byte of it alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from check_directories import Killed, killed_node

from nodes.check import Examined, examine
from nodes.data_directory import DataDirectory
from nodes.store import keys
from nodes.store.engine import INDEXES, META, PAGES, RECORDS, Batch, Engine
from quiesce.errors import DamagedLog, DirectoryInUse, FileUnusable


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    return killed_node(tmp_path_factory.mktemp("node"))


@pytest.fixture
def node(made: Killed, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.path, tmp_path / "node"))


def examined(node: Path, *, deep: bool = True) -> Examined:
    return examine(DataDirectory(node), deep=deep, progress=lambda *_: None)


def found(node: Path) -> list[str]:
    return [finding.text() for finding in examined(node).findings.listed]


def tree(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in directory.rglob("*")
    }


@pytest.mark.parametrize("deep", [True, False])
def test_a_sound_node_is_examined_and_left_alone(made: Killed, node: Path, deep: bool) -> None:
    before = tree(node)
    seen = examined(node, deep=deep)
    assert tree(node) == before
    assert seen.findings.count == 0
    assert seen.findings.notes == []
    assert seen.log.last == (made.entries[-1].index, 2)
    assert (seen.log.entries, seen.log.segments > 3, seen.log.vote) == (len(made.entries), True, 1)
    assert seen.applied == (made.entries[-1].index, 2)
    assert seen.checkpoints == [made.epoch]
    assert seen.membership is not None
    assert [node.node_id for node in seen.membership.nodes] == [1, 2, 3]
    # Sixty people with two entries each, as many notes but one, nine topics.
    expected = (119, 129, 60) if deep else (0, 0, 0)
    assert (seen.content.records, seen.content.entries, seen.content.outcomes) == expected


def test_a_torn_tail_is_reported_stays_and_is_no_damage(node: Path) -> None:
    last = max((node / "raft").glob("*.log"))
    whole = last.read_bytes()
    last.write_bytes(whole[:-7])
    wal = max((node / "store").rglob("*.log"), key=lambda path: path.stat().st_size)
    wal.write_bytes(wal.read_bytes()[:-3])
    before = tree(node)
    seen = examined(node)
    assert tree(node) == before
    assert seen.findings.count == 0
    assert [str(last) in note and "crash" in note for note in seen.findings.notes].count(True) == 1
    assert [str(wal) in note and "crash" in note for note in seen.findings.notes].count(True) == 1


def test_all_damage_is_listed_not_only_the_first(node: Path) -> None:
    logs = sorted((node / "raft").glob("*.log"))
    tables = sorted((node / "store").rglob("*.sst"))
    damaged = [logs[0], logs[2], *tables[:3], node / "mark", node / "identity.json"]
    for path in damaged:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.unlink()
        path.write_bytes(data)
    seen = examined(node)
    places = {finding.where for finding in seen.findings.listed}
    assert {str(path) for path in damaged} - places == set()
    assert seen.findings.worst is DamagedLog


def test_many_findings_are_counted_and_some_listed(node: Path) -> None:
    change(node, lambda engine, batch: engine.delete_range(batch, PAGES, b"", b"\xff" * 18))
    seen = examined(node)
    assert seen.findings.count == 119
    assert len(seen.findings.listed) == 100


def change(node: Path, alter: Callable[[Engine, Batch], None]) -> None:
    """Write to a store behind the back of its state: RocksDB will find nothing wrong."""
    engine = Engine(node / "store" / "store-1")
    batch = engine.new_batch()
    alter(engine, batch)
    engine.write(batch)
    engine.flush()
    engine.close()


def first(engine: Engine, family: str, prefix: bytes = b"") -> tuple[bytes, bytes]:
    return next(engine.scan(family, prefix, b"\xff" * 18))


def put(family: str, key: bytes, value: bytes | None) -> Callable[[Engine, Batch], None]:
    def alter(engine: Engine, batch: Batch) -> None:
        engine.target(batch, family)
        if value is None:
            del batch[key]
        else:
            batch[key] = value

    return alter


def lost_record(engine: Engine, batch: Batch) -> None:
    put(RECORDS, first(engine, RECORDS)[0], None)(engine, batch)


def lost_entry(engine: Engine, batch: Batch) -> None:
    put(INDEXES, first(engine, INDEXES)[0], None)(engine, batch)


def other_entry(engine: Engine, batch: Batch) -> None:
    key, value = first(engine, INDEXES)
    put(INDEXES, key, keys.ENTRY_RID.pack(*keys.ENTRY_RID.unpack(value)[:1], 41))(engine, batch)


def surplus_entry(engine: Engine, batch: Batch) -> None:
    key, value = first(engine, INDEXES)
    put(INDEXES, key + b"more\x00", value)(engine, batch)


def record_without_header(engine: Engine, batch: Batch) -> None:
    put(RECORDS, first(engine, RECORDS)[0], b"\x00")(engine, batch)


def another_body(engine: Engine, batch: Batch) -> None:
    key, value = first(engine, RECORDS)
    put(RECORDS, key, value[:5] + b'{"name":"nobody"}')(engine, batch)


def record_of_a_strange_cluster(engine: Engine, batch: Batch) -> None:
    put(RECORDS, keys.RECORD.pack(1, 99, 0), first(engine, RECORDS)[1])(engine, batch)


def wrong_count(engine: Engine, batch: Batch) -> None:
    key, value = first(engine, META, keys.COUNTERS_PREFIX)
    following, count = keys.COUNTERS_VALUE.unpack(value)
    put(META, key, keys.COUNTERS_VALUE.pack(following - 1, count + 1))(engine, batch)


def page_of_the_future(engine: Engine, batch: Batch) -> None:
    put(PAGES, first(engine, PAGES)[0], keys.STAMP.pack(1 << 40))(engine, batch)


def lost_session(engine: Engine, batch: Batch) -> None:
    put(META, first(engine, META, keys.SESSION_PREFIX)[0], None)(engine, batch)


def outcome_that_is_none(engine: Engine, batch: Batch) -> None:
    put(META, first(engine, META, keys.OUTCOME_PREFIX)[0], b"\xff\xff\xff")(engine, batch)


def ids_to_be_given(engine: Engine, batch: Batch) -> None:
    put(META, keys.NEXT_DATABASE, (1).to_bytes(4, "big"))(engine, batch)


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lost_record, ["it should have 60 records, and has 59", "#6:0, which is not there"]),
        (lost_entry, ["its entry is missing"]),
        (other_entry, ["its entry is missing", "it names #6:41, which does not have that key"]),
        (surplus_entry, ["which does not have that key"]),
        (record_without_header, ["#6:0 of `people`: it has no header"]),
        (another_body, ["which does not have that key", "its entry is missing"]),
        (record_of_a_strange_cluster, ["cluster 99 of database 1: it has records, and is not in the schema"]),
        (wrong_count, ["it should have 61 records, and has 60", "there is a 59"]),
        (page_of_the_future, [f"changed by entry {1 << 40}"]),
        (lost_session, ["it has outcomes, and is not there"]),
        (outcome_that_is_none, ["meta key 6f"]),
        (ids_to_be_given, ["its id 1 is still to be given"]),
    ],
)
def test_what_contradicts_itself_is_found(node: Path, alter: Callable[[Engine, Batch], None], said: list[str]) -> None:
    change(node, alter)
    texts = found(node)
    for words in said:
        assert any(words in text for text in texts), texts
    assert all("store-1" in text for text in texts)


def test_a_log_that_is_not_the_stores_is_found(node: Path) -> None:
    change(node, put(META, keys.APPLIED, keys.APPLIED_VALUE.pack(40, 9, 0)))
    assert any("entry 40 has term 2" in text for text in found(node))


@pytest.mark.parametrize("lost", ["table", "manifest", "store"])
def test_files_that_are_not_there_are_found(node: Path, lost: str) -> None:
    store = node / "store" / "store-1"
    if lost == "table":
        gone = min(store.glob("*.sst"))
        gone.unlink()
    elif lost == "manifest":
        gone = next(store.glob("MANIFEST-*"))
        gone.unlink()
    else:
        (node / "store" / "store-3").mkdir()
        gone = store
        shutil.rmtree(gone)
    assert any(gone.name in text for text in found(node))


def test_the_command(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from nodes.check_command import check

    assert check.main([str(node)], standalone_mode=False, obj=_output(json=True)) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["sound"] is True
    assert facts["last_index"] == examined(node).log.last[0]  # type: ignore[index]
    assert facts["examined"]["records"] == 119
    last = min((node / "raft").glob("*.log"))
    last.write_bytes(last.read_bytes()[:-1])
    assert check.main([str(node)], standalone_mode=False, obj=_output()) == DamagedLog.exit_code
    text = capsys.readouterr().out
    assert f"DAMAGED: {last} at byte" in text
    assert "quiesce nodes remove" in text
    holder = DataDirectory(node)
    holder.lock()
    with pytest.raises(DirectoryInUse):
        check.main([str(node)], standalone_mode=False, obj=_output())
    holder.unlock()
    with pytest.raises(FileUnusable):
        check.main([str(node.parent)], standalone_mode=False, obj=_output())
    assert not (node.parent / "lock").exists()


def _output(**how: bool) -> object:
    from quiesce.cli.output import Output

    return Output(**how)
