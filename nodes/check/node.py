"""A stopped node's data directory, part by part; every part is examined whatever is wrong with the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nodes.check.content import Content, Counts
from nodes.check.extent import Extent, extent_of
from nodes.check.findings import Findings
from nodes.check.raft_log import ExaminedLog, examine_log
from nodes.check.rocksdb import (
    ExaminedFiles,
    add_damage,
    examine_files,
    examine_wal,
    known_damage,
    mirrored,
    scan_damage,
)
from nodes.consensus.recovery import RecoveredLog, fit_to_store
from nodes.data_directory import DataDirectory
from nodes.founding import check_meeting
from nodes.identity import Identity, read_identity
from nodes.rolled_back import check_not_rolled_back
from nodes.store.current import directory_in_use
from nodes.store.engine import INDEXES, META, PAGES, RECORDS, Engine
from nodes.store.state import StoreState, load_state
from quiesce.errors import DamagedStore, DiskFailed, FileUnusable, QuiesceError
from quiesce.snapshot import MalformedObject
from quiesce.v1.peer_pb2 import Membership

# Counters and pages come before the records that are held against them, records before their entries.
_ORDER = (META, PAGES, RECORDS, INDEXES)
# (units done more, units in all or None).
Progress = Callable[[int, int | None], None]


@dataclass(slots=True)
class Examined:
    """What was examined, and what is known from it; a part that could not be read is as it was made."""

    path: Path
    deep: bool
    identity: Identity | None = None
    log: ExaminedLog = field(default_factory=ExaminedLog)
    files: ExaminedFiles = field(default_factory=ExaminedFiles)
    content: Counts = field(default_factory=Counts)
    # None: nothing was ever applied, or it cannot be read.
    applied: tuple[int, int] | None = None
    membership: Membership | None = None
    checkpoints: list[int] = field(default_factory=list)
    # None: nobody asked, or it cannot be read.
    extent: Extent | None = None
    findings: Findings = field(default_factory=Findings)


def examine(data: DataDirectory, *, deep: bool, progress: Progress, extent: bool = False) -> Examined:
    """Examine the directory of a node that does not run; the caller holds its lock.

    Not `deep`: without reading the store's records and indexes. With `extent` also say what a snapshot would hold.

    Raises:
        FileUnusable: it holds no node.
    """
    examined = Examined(data.path, deep)
    findings = examined.findings
    with findings.collected(data.path):
        examined.identity = read_identity(data.path)
        if examined.identity is None:
            raise FileUnusable(file=data.path, detail="it is not the data directory of a node")
        check_meeting(data.path)
        check_not_rolled_back(data.path)
    try:
        data.read_mark()
    except MalformedObject as error:
        findings.add(data.path / "mark", str(error))
    examined.log, recovered = examine_log(data.raft, findings)
    try:
        seen: set[int] = set()
        state = _store(data, examined, seen, progress)
        if extent:
            with findings.collected(data.store):
                if (directory := directory_in_use(data.store)) is not None:
                    examined.extent = extent_of(directory, lambda done: progress(done, None))
        _checkpoints(data, examined, seen, progress)
        _leftovers(data, findings)
        if recovered is not None and state is not None:
            _fit(recovered, state, data.store, findings)
    finally:
        if recovered is not None:
            recovered.log.close()
    return examined


def _store(data: DataDirectory, examined: Examined, seen: set[int], progress: Progress) -> StoreState | None:
    findings, directory = examined.findings, None
    with findings.collected(data.store):
        directory = directory_in_use(data.store)
    if directory is None or not directory.exists():
        # Before the first entry there is none.
        return None if findings.count else StoreState()
    for other in sorted(data.store.iterdir()):
        if other.is_dir() and other != directory:
            findings.note(f"{other}: what a crash left; the next start removes it")
    examined.files = examine_files(directory, findings, seen)
    with findings.collected(directory):
        examine_wal(directory, findings, whole=False)
    state = _content(directory, examined, examined.content, whole=False, progress=progress)
    if state is not None:
        examined.applied, examined.membership = state.applied, state.membership
    return state


def _content(
    directory: Path, examined: Examined, counts: Counts, *, whole: bool, progress: Progress
) -> StoreState | None:
    """Examine what a store says; return its state, or None where that cannot be read."""
    before = examined.findings.count
    try:
        with mirrored(directory, whole=whole) as engine:
            state = load_state(engine)
            if examined.deep:
                _families(engine, state, directory, examined, counts, progress)
            return state
    except QuiesceError as error:
        # What keeps it from being opened was found in its files most often.
        if examined.findings.count == before and not known_damage(examined.findings, directory):
            add_damage(examined.findings, directory, error.fields.get("detail", str(error)))
        return None


def _families(
    engine: Engine, state: StoreState, directory: Path, examined: Examined, counts: Counts, progress: Progress
) -> None:
    total = engine.estimated_keys(RECORDS) + engine.estimated_keys(INDEXES)
    content = Content(engine, state, str(directory), examined.findings, lambda done: progress(done, total))
    broken = ""
    for family in _ORDER:
        if broken:
            examined.findings.note(f"{directory}: {family} were not held against {broken}, which cannot be read")
            with examined.findings.collected(directory):
                _scan_only(engine, family, directory, examined.findings)
            continue
        try:
            content.examine(family)
        except (DamagedStore, DiskFailed) as error:
            broken = family
            scan_damage(directory, engine, family, examined.findings, error)
    for name in counts.__slots__:
        setattr(counts, name, getattr(counts, name) + getattr(content.counts, name))


def _scan_only(engine: Engine, family: str, directory: Path, findings: Findings) -> None:
    try:
        for _ in engine.scan(family, b"", b"\xff" * 18):
            pass
    except (DamagedStore, DiskFailed) as error:
        scan_damage(directory, engine, family, findings, error)


def _checkpoints(data: DataDirectory, examined: Examined, seen: set[int], progress: Progress) -> None:
    examined.checkpoints = data.checkpoint_epochs()
    for epoch in examined.checkpoints:
        directory = data.checkpoints / str(epoch)
        examine_files(directory, examined.findings, seen)
        with examined.findings.collected(directory):
            examine_wal(directory, examined.findings, whole=True)
        # Not counted: its records are those of the store, as they were.
        _content(directory, examined, Counts(), whole=True, progress=progress)


def _leftovers(data: DataDirectory, findings: Findings) -> None:
    for name, what in (("incoming", "of checkpoints on their way here"), ("outgoing", "of checkpoints for others")):
        directory = data.raft / name
        files = [path for path in directory.rglob("*") if path.is_file()] if directory.exists() else []
        if files:
            findings.note(f"{directory}: {len(files)} files {what}; not examined")
    for path in sorted(data.path.rglob("*.part")):
        if data.raft / "incoming" not in path.parents:
            findings.note(f"{path}: what a crash left; it means nothing")


def _fit(recovered: RecoveredLog, state: StoreState, store: Path, findings: Findings) -> None:
    hard, last = recovered.log.state.hard_state, recovered.last
    with findings.collected(store):
        index = fit_to_store(recovered, state.applied, str(store))
        if index > last.index:
            findings.note(f"{store}: it is at index {index}, ahead of the log: a checkpoint was being installed")
        elif index < hard.commit:
            findings.note(f"{store}: it is at index {index}; the next start applies the log from there")
