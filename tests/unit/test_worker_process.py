"""The worker as the daemon runs it: a process of its own, on a checkpoint of a real store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.store import Store, StoreLoader
from nodes.worker.orders import order
from nodes.worker.progress import parse_attest_line, parse_line
from quiesce.errors import DamagedStore, QuiesceError, RepositoryUnusable, UnknownDatabase
from quiesce.repository import SegmentReader, open_repository, verify_snapshot
from quiesce.snapshot import decode_manifest, decode_segment, encode_page
from quiesce.v1.attest_pb2 import AttestProgress
from quiesce.v1.database_pb2 import DATABASE_STATE_ONLINE, Cluster, Database
from quiesce.v1.node_pb2 import SnapshotProgress

_RECORDS = 3000
_DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("node")
    loader = StoreLoader(root / "store")
    clusters = [Cluster(id=3, name="default", next_position=_RECORDS)]
    loader.add_database(Database(name="world", id=4, state=DATABASE_STATE_ONLINE, clusters=clusters))
    loader.load_records(4, 3, ((n, 1, 1, b'{"n":%d,"text":"%s"}' % (n, b"x" * 200)) for n in range(_RECORDS)))
    loader.finish(1000, 3)
    store = Store(root / "store")
    store.checkpoint(root / "checkpoint")
    store.close()
    return root / "checkpoint"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    open_repository(tmp_path / "repository", create=True)
    return tmp_path / "repository"


def start(checkpoint: Path, repository: Path, *more: str, parent: int | None = None) -> subprocess.Popen[str]:
    arguments = {
        "checkpoint": checkpoint, "repository": repository, "snapshot-id": "s1", "cluster-id": "c1", "node-id": 2,
        "mark-term": 3, "mark-index": 1000, "mark-time-ms": 5, "epoch": 7, "parent": parent or os.getpid(),
    }  # fmt: skip
    command = [sys.executable, "-m", "nodes.worker", *(f"--{name}={value}" for name, value in arguments.items()), *more]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> list[SnapshotProgress | QuiesceError | str]:
    # Not communicate(): it closes the worker's input, and that means that the daemon is gone.
    assert process.stdout is not None
    lines = [parse_line(line) for line in process.stdout]
    process.wait(_DEADLINE_S)
    return lines


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_snapshot_from_start_to_draft(checkpoint: Path, repository: Path) -> None:
    process = start(checkpoint, repository)
    lines = said(process)
    assert process.returncode == 0
    first, last = lines[0], lines[-1]
    assert isinstance(first, SnapshotProgress)
    assert isinstance(last, SnapshotProgress)
    assert last.phase == SnapshotProgress.PHASE_DONE
    assert (last.pages_done, last.pages_total, last.records) == (4, 4, _RECORDS)
    manifest = decode_manifest(last.manifest_draft)
    assert (manifest.mark.epoch, manifest.mark.index, manifest.node_id) == (7, 1000, 2)
    assert manifest.started_ms <= manifest.ended_ms
    assert open_repository(repository).list_snapshots() == []
    open_repository(repository).publish_manifest(manifest)
    assert verify_snapshot(open_repository(repository), "s1").records == _RECORDS


def test_the_next_one_reuses_all_of_it(checkpoint: Path, repository: Path) -> None:
    first = said(start(checkpoint, repository))[-1]
    assert isinstance(first, SnapshotProgress)
    open_repository(repository).publish_manifest(decode_manifest(first.manifest_draft))
    again = said(start(checkpoint, repository, "--snapshot-id=s2", "--node-id=3"))[-1]
    assert isinstance(again, SnapshotProgress)
    assert (again.bytes_uploaded, again.pages_reused) == (0, 4)
    found = decode_manifest(again.manifest_draft)
    assert found.content_id == decode_manifest(first.manifest_draft).content_id


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (["--mark-index=999"], DamagedStore),
        (["--database=moon"], UnknownDatabase),
        (["--repository=/nonexistent/repository"], RepositoryUnusable),
        (["--checkpoint=/nonexistent/checkpoint"], DamagedStore),
    ],
)
def test_errors_keep_their_type_and_exit_code(
    checkpoint: Path, repository: Path, more: list[str], error: type[QuiesceError]
) -> None:
    process = start(checkpoint, repository, *more)
    last = said(process)[-1]
    assert type(last) is error
    assert process.returncode == error.exit_code
    assert not list((repository / "packs").rglob("*"))


def slow(checkpoint: Path, repository: Path, **options: int) -> subprocess.Popen[str]:
    process = start(checkpoint, repository, "--rate-limit=10000", **options)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["type"] == "progress"
    return process


def test_the_daemon_changes_its_rate_while_it_runs(checkpoint: Path, repository: Path) -> None:
    # At the rate that it begins with it would take a minute for the first page of records alone.
    for more in ((), ("--snapshot-id=", "--attest")):
        process = start(checkpoint, repository, "--rate-limit=1000", *more)
        assert process.stdin is not None
        for rate in (2_000, 2_000, 10**9):
            process.stdin.write(order(rate).decode())
            process.stdin.flush()
        assert process.stdout is not None
        *_, last = process.stdout
        assert json.loads(last)["type"] == "done"
        assert process.wait(_DEADLINE_S) == 0


def nothing_left(repository: Path) -> bool:
    return [path.name for path in repository.rglob("*") if path.is_file()] == ["format.json"]


def test_sigterm_ends_it(checkpoint: Path, repository: Path) -> None:
    process = slow(checkpoint, repository)
    process.terminate()
    assert process.wait(_DEADLINE_S) == 128 + signal.SIGTERM
    assert nothing_left(repository)


def test_the_end_of_its_input_ends_it(checkpoint: Path, repository: Path) -> None:
    process = slow(checkpoint, repository)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(_DEADLINE_S) == 128 + signal.SIGTERM
    assert nothing_left(repository)


def test_it_does_not_start_for_a_parent_that_is_gone(checkpoint: Path, repository: Path) -> None:
    process = start(checkpoint, repository, parent=2**22 + 1)
    assert said(process) == []
    assert process.returncode == 128 + signal.SIGTERM


_DAEMON = """
import subprocess, sys
worker = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
worker.stdout.readline()
print(worker.pid, flush=True)
worker.wait()
"""


def test_it_dies_with_a_parent_that_is_killed(checkpoint: Path, repository: Path) -> None:
    probe = start(checkpoint, repository, "--rate-limit=10000")
    command = [str(argument) for argument in probe.args if not str(argument).startswith("--parent")]  # type: ignore[union-attr]
    probe.kill()
    probe.communicate()
    daemon = subprocess.Popen([sys.executable, "-c", _DAEMON, *command], stdout=subprocess.PIPE, text=True)
    assert daemon.stdout is not None
    pid = int(daemon.stdout.readline())
    daemon.kill()
    daemon.communicate()
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text())
    assert nothing_left(repository)


def test_the_bytes_of_a_page_are_those_of_the_store_s_records(checkpoint: Path, repository: Path) -> None:
    last = said(start(checkpoint, repository))[-1]
    assert isinstance(last, SnapshotProgress)
    opened = open_repository(repository)
    manifest = decode_manifest(last.manifest_draft)
    table = opened.read_table(manifest)
    reader = SegmentReader(opened, manifest, table)
    row = table.rows[2]
    assert (row.cluster, row.page, row.stamp) == (3, 1, 1000)
    records = decode_segment(1, reader.read(row))
    assert records[5] == (1029, 1, 1, b'{"n":1029,"text":"%s"}' % (b"x" * 200))
    assert [raw for raw, _ in encode_page(1, records)] == [reader.read(row)]


def test_it_attests_what_a_snapshot_would_hold_and_writes_nothing(checkpoint: Path, repository: Path) -> None:
    def tree() -> list[Path]:
        return sorted(repository.rglob("*"))

    before = tree()
    process = start(checkpoint, repository, "--snapshot-id=", "--attest", "--node-id=3")
    lines = [parse_attest_line(line) for line in process.stdout or ()]
    assert process.wait(_DEADLINE_S) == 0
    last = lines[-1]
    assert isinstance(last, AttestProgress)
    assert (last.pages_done, last.pages_reused, last.records) == (4, 0, _RECORDS)
    assert tree() == before
    taken = said(start(checkpoint, repository))[-1]
    assert isinstance(taken, SnapshotProgress)
    draft = decode_manifest(taken.manifest_draft)
    assert last.content_id == draft.content_id
    open_repository(repository).publish_manifest(draft)
    process = start(checkpoint, repository, "--snapshot-id=", "--attest")
    again = [parse_attest_line(line) for line in process.stdout or ()][-1]
    assert isinstance(again, AttestProgress)
    assert (again.content_id, again.pages_reused) == (draft.content_id, 0)
    process.wait(_DEADLINE_S)
    process = start(checkpoint, repository, "--snapshot-id=", "--attest", "--sample=0")
    cheap = [parse_attest_line(line) for line in process.stdout or ()][-1]
    assert isinstance(cheap, AttestProgress)
    assert (cheap.content_id, cheap.pages_reused) == (draft.content_id, 3)
    process.wait(_DEADLINE_S)


def test_a_worker_that_attests_keeps_its_errors_too(checkpoint: Path, repository: Path) -> None:
    process = start(checkpoint, repository, "--snapshot-id=", "--attest", "--mark-index=999")
    assert isinstance([parse_attest_line(line) for line in process.stdout or ()][-1], DamagedStore)
    assert process.wait(_DEADLINE_S) == DamagedStore.exit_code
