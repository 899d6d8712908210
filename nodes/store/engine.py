"""RocksDB as this node uses it: its options, its column families, and its errors by our names."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    DBRecoveryMode,
    IngestExternalFileOptions,
    Options,
    Rdict,
    RdictIter,
    ReadOptions,
    Snapshot,
    SstFileWriter,
    WriteBatch,
    WriteOptions,
)

from nodes.store.fsync import sync_directory
from nodes.store.manifest import check_manifest
from quiesce.errors import DamagedStore, DirectoryInUse, DiskFailed, DiskOutOfSpace

MEBIBYTE = 1 << 20

RECORDS = "records"
INDEXES = "indexes"
SCHEMA = "schema"
META = "meta"
PAGES = "pages"
FAMILIES = (RECORDS, INDEXES, SCHEMA, META, PAGES)

CACHE_BYTES = 64 * MEBIBYTE
# Memtables of all column families together: also what a checkpoint has to flush before it links files.
MEMTABLE_BYTES = 32 * MEBIBYTE
WAL_BYTES = 64 * MEBIBYTE
# RocksDB slows writers down from 20 on.
_MOST_LEVEL_0 = 12

Batch = WriteBatch
_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|NoSpace")


class Engine:
    """One open RocksDB directory.

    Args:
        directory: where it is, or is made.
        read_only: nothing is written to it but RocksDB's own configuration.
        whole: it is a checkpoint, which no crash has cut short: its WAL must be sound to the end. A store in use is
            read up to the first record of the WAL that is not; the Raft log has what follows.

    Raises:
        DirectoryInUse: another process, or another object of this one, has it open.
        DamagedStore: it is not a store, or a checksum does not match.
        DiskFailed: the disk answers with an error, or is full.
    """

    def __init__(self, directory: Path, *, read_only: bool = False, whole: bool = False) -> None:
        self.directory = directory
        cache = Cache(CACHE_BYTES)
        families = {name: _options(cache, memtable=name in (RECORDS, INDEXES)) for name in FAMILIES}
        access = AccessType.read_only(False) if read_only else AccessType.read_write()
        if read_only and not (directory / "CURRENT").exists():
            raise DamagedStore(path=directory, detail="it holds no store")
        check_manifest(directory)
        options = _options(cache, memtable=False)
        mode = DBRecoveryMode.absolute_consistency() if whole else DBRecoveryMode.point_in_time()
        options.set_wal_recovery_mode(mode)
        with self.errors("opening"):
            self._db = Rdict(str(directory), options, families, access)
            self._families = {name: self._db.get_column_family(name) for name in FAMILIES}
            self._handles = {name: self._db.get_column_family_handle(name) for name in FAMILIES}

    @contextlib.contextmanager
    def errors(self, operation: str) -> Iterator[None]:
        """Translate what RocksDB raises, which is a plain Exception with its status as text."""
        try:
            yield
        except Exception as error:
            raise translated(error, operation, self.directory) from error

    def get(self, family: str, key: bytes) -> bytes | None:
        """Return a value as it is now, or None."""
        try:
            value: bytes | None = self._families[family].get(key)
        except Exception as error:
            raise translated(error, "reading", self.directory) from error
        return value

    def get_many(self, family: str, keys: list[bytes]) -> list[bytes | None]:
        """Return the values as they are now, None for what is not there."""
        if not keys:
            return []
        try:
            # A list gives a list, whatever the stub says.
            values: list[bytes | None] = self._families[family].get(keys)  # type: ignore[arg-type, assignment]
        except Exception as error:
            raise translated(error, "reading", self.directory) from error
        return values

    def scan(self, family: str, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the entries of a range as they were when the scan began."""
        bound = ReadOptions()
        bound.set_iterate_upper_bound(end)
        return scan(self._families[family].iter(bound), begin, end, self.directory)

    def snapshots(self) -> Mapping[str, Snapshot]:
        """Return one snapshot of each column family, for `point`; of one state only where no write runs meanwhile."""
        return MappingProxyType({name: rdict.snapshot() for name, rdict in self._families.items()})

    def iterators(self) -> dict[str, RdictIter]:
        """Return one iterator over each column family that readers scan, as they are now; as `snapshots`.

        Not by Snapshot.iter: in rocksdict 0.3.29 that shows the newest state, whatever the snapshot is of.
        """
        return {name: self._families[name].iter() for name in (RECORDS, INDEXES, META)}

    def table_ranges(self, family: str) -> list[tuple[bytes, bytes]]:
        """Return the first and the last key of each table, perhaps of other column families as well."""
        return [(table["start_key"], table["end_key"]) for table in self._families[family].live_files()]

    def estimated_keys(self, family: str) -> int:
        """Return about how many entries a column family has."""
        return self._families[family].property_int_value("rocksdb.estimate-num-keys") or 0

    def sequence(self) -> int:
        """Return RocksDB's number of the last change: unchanged means that nothing was written."""
        return self._db.latest_sequence_number()

    def new_batch(self) -> Batch:
        """Return an empty batch."""
        return WriteBatch(raw_mode=True)

    def target(self, batch: Batch, family: str) -> None:
        """Direct the puts and deletes that follow to a column family."""
        batch.set_default_column_family(self._handles[family])

    def delete_range(self, batch: Batch, family: str, begin: bytes, end: bytes) -> None:
        """Add the deletion of a range to a batch; what the batch puts afterwards stays."""
        batch.delete_range(begin, end, self._handles[family])

    def write(self, batch: Batch, *, wal: bool = True) -> None:
        """Write a batch, all or nothing; it survives a crash of the process, not yet one of the machine."""
        options = WriteOptions()
        if not wal:
            # A property, whatever the stub says.
            options.disable_wal = True  # type: ignore[assignment, method-assign]
        with self.errors("writing"):
            self._db.write(batch, options)

    def sync(self) -> None:
        """Make everything written durable."""
        with self.errors("fsync"):
            self._db.flush_wal(True)

    def flush(self) -> None:
        """Write the memtables of all column families to files, durably."""
        with self.errors("flushing"):
            for rdict in self._families.values():
                rdict.flush(True)

    def begin_flush(self) -> None:
        """Have the memtables written to files in the background, unless RocksDB is busy with that; see `flushing`."""
        with self.errors("flushing"):
            for rdict in list(self._families.values()):
                # With more waiting, RocksDB would make the caller wait as well, and with it the whole process.
                waiting = rdict.property_int_value("rocksdb.num-immutable-mem-table") or 0
                tables = int(rdict.property_value("rocksdb.num-files-at-level0") or 0)
                if not waiting and tables < _MOST_LEVEL_0:
                    rdict.flush(False)

    def flushing(self) -> bool:
        """Whether memtables that are full, or were told to be written, are not in files yet."""
        with self.errors("flushing"):
            return any(
                rdict.property_int_value("rocksdb.num-immutable-mem-table") for rdict in list(self._families.values())
            )

    def checkpoint(self, directory: Path) -> None:
        """Make `directory`, which must not exist, a copy of the store by hard links; durable when this returns."""
        with self.errors("checkpoint"):
            Checkpoint(self._db).create_checkpoint(str(directory))
            sync_directory(directory)
            sync_directory(directory.parent)

    def table_writer(self, path: Path) -> SstFileWriter:
        """Return a writer of a table file; its keys must come in ascending order."""
        with self.errors("writing"):
            writer = SstFileWriter(_options(None, memtable=False))
            writer.open(str(path))
        return writer

    def ingest(self, family: str, paths: list[Path]) -> None:
        """Move table files into a column family."""
        options = IngestExternalFileOptions()
        options.set_move_files(True)
        with self.errors("ingesting"):
            self._families[family].ingest_external_file([str(path) for path in paths], options)

    def close(self) -> None:
        """Let go of the files. What was read from snapshots that are still held stays readable."""
        self._handles.clear()
        self._families.clear()
        # Not Rdict.close(): it flushes, and nothing is lost without that.
        del self._db


def scan(rows: RdictIter, begin: bytes, end: bytes, where: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield an iterator's entries from `begin` to before `end`.

    Raises:
        DamagedStore: a block does not match its checksum.
    """
    # Not Rdict.items(): that ends in silence at a damaged block, only RdictIter has a status.
    valid, key, value, following = rows.valid, rows.key, rows.value, rows.next
    try:
        rows.seek(begin)
        while valid():
            found = key()
            if found >= end:
                return
            entry = found, value()
            following()
            yield entry
        rows.status()
    except Exception as error:
        raise translated(error, "reading", where) from error


def point(source: Snapshot, key: bytes, where: Path) -> bytes | None:
    """Return a value of a snapshot, or None."""
    try:
        value: bytes = source[key]
    except Exception as error:
        if str(error) == "key not found":
            return None
        raise translated(error, "reading", where) from error
    return value


def translated(error: Exception, operation: str, path: Path) -> Exception:
    """Return our error for one of RocksDB's, whose kind stands at the head of its text; any other error as it is."""
    if type(error) is not Exception:
        return error
    text = " ".join(str(error).split())
    if "lock hold by current process" in text or "While lock file" in text:
        return DirectoryInUse(path=path, lock=path / "LOCK")
    if text.startswith("IO error") and "No such file" not in text:
        kind = DiskOutOfSpace if _NO_SPACE.search(text) else DiskFailed
        return kind(operation=operation, path=path, detail=text)
    return DamagedStore(path=path, detail=text or type(error).__name__)


def _options(cache: Cache | None, *, memtable: bool) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    options.set_paranoid_checks(True)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(MEMTABLE_BYTES // 4 if memtable else 2 * MEBIBYTE)
    options.set_max_write_buffer_number(3)
    options.set_db_write_buffer_size(MEMTABLE_BYTES)
    options.set_max_total_wal_size(WAL_BYTES)
    # It is read as a whole at every start.
    options.set_max_manifest_file_size(MEBIBYTE)
    options.set_max_background_jobs(2)
    options.set_level_compaction_dynamic_level_bytes(True)
    options.set_max_open_files(512)
    options.set_bytes_per_sync(MEBIBYTE)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(4 * MEBIBYTE)
    table = BlockBasedOptions()
    table.set_block_size(16 << 10)
    table.set_bloom_filter(10, False)
    table.set_format_version(5)
    if cache is not None:
        table.set_block_cache(cache)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    options.set_block_based_table_factory(table)
    return options
