"""A RocksDB directory that nobody has open: its files one by one, and then as RocksDB reads it.

RocksDB never sees the directory itself, only a mirror of links to its files: even opened read-only it would write.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nodes.check.findings import Findings
from nodes.check.table import check_table
from nodes.store.engine import Engine
from nodes.store.manifest import check_manifest
from nodes.store.rocksdb_log import read_log
from quiesce.errors import DamagedStore, DiskFailed, QuiesceError, disk_failed

# RocksDB's text for people, its lock, and what it and rocksdict write about themselves and never need.
NOT_DATA = re.compile(r"LOG(\.old.*)?|LOCK|IDENTITY|OPTIONS-[0-9]+(\.dbtmp)?|rocksdict-config\.json")
_MIRROR = re.compile(r"\S*/quiesce-check-[^/\s]*/?")
_PLACE = re.compile(r"(\S+\.(?:sst|log)|\S*MANIFEST-[0-9]+)(?: offset ([0-9]+))?")


@dataclass(slots=True)
class ExaminedFiles:
    """How much was examined."""

    tables: int = 0
    bytes: int = 0


@contextmanager
def mirrored(directory: Path, *, whole: bool) -> Iterator[Engine]:
    """Open a directory of links to the files of another with RocksDB; see Engine.

    Raises:
        DamagedStore, DiskFailed: it cannot be opened; also if the links cannot be made.
    """
    try:
        # Closed before it is removed, and errors of the block pass through as they are.
        with tempfile.TemporaryDirectory(prefix="quiesce-check-") as name:
            for path in directory.iterdir():
                if path.is_file() and not NOT_DATA.fullmatch(path.name):
                    (Path(name) / path.name).symlink_to(path.absolute())
            engine = Engine(Path(name), read_only=True, whole=whole)
            # What it raises names the real one.
            engine.directory = directory
            try:
                yield engine
            finally:
                engine.close()
    except OSError as error:
        raise disk_failed("mirror", directory, error) from error


def examine_files(
    directory: Path, findings: Findings, seen: set[int], progress: Callable[[int], None] = lambda _: None
) -> ExaminedFiles:
    """Examine what RocksDB does without: its MANIFEST, and the tables' filters, properties and footers.

    `seen` are the inodes of tables that need not be examined again: a checkpoint shares them with the store.
    """
    examined = ExaminedFiles()
    with findings.collected(directory):
        check_manifest(directory)
    for path in sorted(directory.glob("*.sst")):
        status = path.stat()
        examined.tables += 1
        examined.bytes += status.st_size
        if status.st_ino not in seen:
            seen.add(status.st_ino)
            with findings.collected(path):
                for byte, detail in check_table(_read(path))[1]:
                    findings.add(path, detail, byte)
        progress(status.st_size)
    return examined


def examine_wal(directory: Path, findings: Findings, *, whole: bool) -> None:
    """Examine the WAL; where not `whole`, a crash may have cut it short."""
    logs = [path for path in sorted(directory.glob("*.log")) if path.stat().st_size]
    if not logs or known_damage(findings, directory):
        return
    try:
        # RocksDB's own look is fast.
        with mirrored(directory, whole=True):
            return
    except QuiesceError as error:
        problem = error.fields.get("detail", str(error))
    before = findings.count
    torn = False
    for path in logs:
        data = _read(path)
        end = read_log(data)
        if end.damage is not None:
            findings.add(path, end.damage, end.at)
        elif end.at < len(data) and not whole and path is logs[-1]:
            torn = True
            findings.note(f"{path}: what follows byte {end.at} is what a crash left of the last write")
        elif end.at < len(data):
            findings.add(path, "it ends in the middle of a record", end.at)
    if findings.count == before and not torn:
        add_damage(findings, directory, problem)


def known_damage(findings: Findings, directory: Path) -> bool:
    """Return whether something was found in a directory that keeps RocksDB from opening it."""
    return any(one.where.startswith((f"{directory}/MANIFEST", f"{directory}/CURRENT")) for one in findings.listed)


def scan_damage(directory: Path, engine: Engine, family: str, findings: Findings, error: QuiesceError) -> None:
    """Find the other damaged tables of a column family in which a scan has met one."""
    add_damage(findings, directory, error.fields.get("detail", str(error)))
    named = {finding.where for finding in findings.listed}
    for begin, end in engine.table_ranges(family):
        try:
            for _ in engine.scan(family, begin, end + b"\x00"):
                pass
        except (DamagedStore, DiskFailed) as other:
            detail = other.fields.get("detail", str(other))
            where = _place(directory, detail)[0]
            if where not in named:
                named.add(where)
                add_damage(findings, directory, detail)


def add_damage(findings: Findings, directory: Path, detail: str) -> None:
    """Take in what RocksDB says; it names the file, if one, somewhere in its text."""
    where, byte = _place(directory, detail)
    findings.add(where, _MIRROR.sub("", detail), byte)


def _place(directory: Path, detail: str) -> tuple[str, int | None]:
    found = _PLACE.search(detail)
    if found is None:
        return str(directory), None
    return str(directory / Path(found[1]).name), int(found[2]) if found[2] else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise disk_failed("read", path, error) from error
