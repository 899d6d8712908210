"""The way through a checkpoint: every page in the order of the table, read where it has changed since the base."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from nodes.rate_limit import RateLimit
from nodes.worker.base import Base
from nodes.worker.progress import Counts
from nodes.worker.sample import Sample
from nodes.worker.source import SnapshotSource
from nodes.worker.table_builder import Place
from quiesce.errors import DamagedStore, UnknownDatabase
from quiesce.snapshot import DATABASE_PAGE, PAGE_POSITIONS, ManifestMark, Row, database_segments, encode_page
from quiesce.v1.database_pb2 import Database


class Segments(Protocol):
    """Takes the segments on the way."""

    @property
    def bytes_uploaded(self) -> int:
        """Bytes that are in the repository because of them."""

    def take_over(self, database: int, row: Row, place: Place) -> None:
        """Take a segment of the base as it is."""

    def add(self, page: tuple[int, int, int], segment: int, raw: bytes, records: int, stamp: int) -> bool:
        """Take a segment that was read; return whether its content is new."""


class Walk:
    """One way through a checkpoint. `progress` is told after every page, and may raise to stop.

    What `sample` takes is read, changed or not.
    """

    def __init__(
        self,
        source: SnapshotSource,
        base: Base | None,
        limit: RateLimit,
        progress: Callable[[Counts], None],
        sample: Sample | None = None,
    ) -> None:
        self._source = source
        self._base = base
        self._limit = limit
        self._progress = progress
        self._sample = sample
        self.counts = Counts()

    def begin(self, mark: ManifestMark, names: tuple[str, ...]) -> list[Database]:
        """Check that the checkpoint is that of the mark, and return the databases on the way; no names: all.

        Raises:
            UnknownDatabase: one that was asked for is not there.
            DamagedStore: the checkpoint is not one of the mark.
        """
        index, term = self._source.applied
        if (index, term) != (mark.index, mark.term):
            detail = f"it is at index {index}, term {term}, not at the mark {mark.index}, {mark.term}"
            raise DamagedStore(path="the checkpoint", detail=detail)
        databases = chosen(self._source.databases(), names)
        self.counts.pages_total = len(databases) + sum(
            sum(1 for _ in self._source.pages(database.id)) for database in databases
        )
        self._progress(self.counts)
        return databases

    def go(self, databases: Sequence[Database], segments: Segments) -> None:
        """Give every segment to `segments`. Raises what they raise, and DamagedStore."""
        for number, database in enumerate(databases):
            self._add_page((number, DATABASE_PAGE, 0), 0, database_segments(database), segments)
            for cluster, page, stamp in self._source.pages(database.id):
                unchanged = self._unchanged(database, cluster, page, stamp)
                if unchanged is not None:
                    self._take_over(number, unchanged, segments)
                    continue
                first = page * PAGE_POSITIONS
                records = self._source.records_of(database.id, cluster, first, first + PAGE_POSITIONS - 1)
                self._add_page((number, cluster, page), stamp, encode_page(page, records), segments)
                self.counts.bytes_uploaded = segments.bytes_uploaded

    def _unchanged(self, database: Database, cluster: int, page: int, stamp: int) -> list[tuple[Row, Place]] | None:
        if self._base is None or (self._sample is not None and self._sample.takes(database.name, cluster, page)):
            return None
        return self._base.unchanged(database.name, database.id, cluster, page, stamp)

    def _take_over(self, number: int, unchanged: list[tuple[Row, Place]], segments: Segments) -> None:
        for row, place in unchanged:
            segments.take_over(number, row, place)
            self.counts.records += row.records
        self.counts.pages_reused += bool(unchanged)
        self._page_done()

    def _add_page(
        self, page: tuple[int, int, int], stamp: int, read: Iterable[tuple[bytes, int]], segments: Segments
    ) -> None:
        found = uploaded = 0
        for segment, (raw, records) in enumerate(read):
            self._limit.take(len(raw))
            is_new = segments.add(page, segment, raw, records, stamp)
            uploaded += is_new
            found += not is_new
            self.counts.records += records
            self.counts.bytes_read += len(raw)
        self.counts.pages_uploaded += bool(uploaded)
        self.counts.pages_matched += bool(found and not uploaded)
        self._page_done()

    def _page_done(self) -> None:
        self.counts.pages_done += 1
        self._progress(self.counts)


def chosen(databases: list[Database], names: tuple[str, ...]) -> list[Database]:
    """Return those of the databases that are asked for, by name.

    Raises:
        UnknownDatabase: a name is none of theirs.
    """
    by_name = {database.name: database for database in databases}
    for name in names:
        if name not in by_name:
            raise UnknownDatabase(database=name)
    return [by_name[name] for name in sorted(set(names) or by_name)]
