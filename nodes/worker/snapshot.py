"""Makes a snapshot: reads what changed, uploads what is new, and drafts the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from nodes.rate_limit import RateLimit
from nodes.worker.base import Known
from nodes.worker.pipeline import SegmentPipeline
from nodes.worker.progress import Counts
from nodes.worker.source import SnapshotSource
from nodes.worker.table_builder import Place, database_summaries
from quiesce.errors import DamagedStore, UnknownDatabase
from quiesce.repository import Repository, layout
from quiesce.repository.writing import put_pack
from quiesce.snapshot import (
    DATABASE_PAGE,
    PAGE_POSITIONS,
    Manifest,
    ManifestMark,
    PackSummary,
    PageTable,
    Row,
    TableSummary,
    Totals,
    content_id,
    database_segments,
    encode_page,
)
from quiesce.v1.database_pb2 import Database


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """What is asked for; `databases` empty: all."""

    snapshot_id: str
    cluster_id: str
    node_id: int
    mark: ManifestMark
    databases: tuple[str, ...] = ()
    software: str = ""


class SnapshotMaker:
    """One run. `progress` is told after every page, and may raise to stop."""

    def __init__(
        self,
        source: SnapshotSource,
        repository: Repository,
        known: Known,
        limit: RateLimit,
        progress: Callable[[Counts], None],
    ) -> None:
        self._source = source
        self._repository = repository
        self._known = known
        self._limit = limit
        self._progress = progress
        self.counts = Counts()

    def run(self, request: SnapshotRequest, *, started_ms: int) -> Manifest:
        """Upload everything but the manifest, and return its draft.

        Raises:
            UnknownDatabase: one that was asked for is not there.
            DamagedStore: the checkpoint is not one of the mark.
            RepositoryFull, RepositoryUnusable: the repository takes no more.
            DamagedObject: a pack that is needed was cut short, or vanished.
        """
        index, term = self._source.applied
        if (index, term) != (request.mark.index, request.mark.term):
            detail = f"it is at index {index}, term {term}, not at the mark {request.mark.index}, {request.mark.term}"
            raise DamagedStore(path="the checkpoint", detail=detail)
        databases = chosen(self._source.databases(), request.databases)
        self.counts.pages_total = len(databases) + sum(
            sum(1 for _ in self._source.pages(database.id)) for database in databases
        )
        self._progress(self.counts)
        pipeline = SegmentPipeline(self._known, partial(put_pack, self._repository, avoid=self._known.avoid))
        try:
            for number, database in enumerate(databases):
                self._read_database(number, database, pipeline)
            table = pipeline.finish(databases)
        finally:
            pipeline.close()
        self.counts.bytes_uploaded = pipeline.bytes_uploaded
        table_digest, table_size = self._repository.put_table(table, self._known.avoid)
        return self._draft(request, table, TableSummary(table_digest, table_size, len(table.rows)), started_ms)

    def _read_database(self, number: int, database: Database, pipeline: SegmentPipeline) -> None:
        self._add_page((number, DATABASE_PAGE, 0), 0, database_segments(database), pipeline)
        base = self._known.base
        for cluster, page, stamp in self._source.pages(database.id):
            unchanged = base.unchanged(database.name, database.id, cluster, page, stamp) if base else None
            if unchanged is not None:
                self._take_over(number, unchanged, pipeline)
                continue
            first = page * PAGE_POSITIONS
            records = self._source.records_of(database.id, cluster, first, first + PAGE_POSITIONS - 1)
            self._add_page((number, cluster, page), stamp, encode_page(page, records), pipeline)
            self.counts.bytes_uploaded = pipeline.bytes_uploaded

    def _take_over(self, number: int, segments: list[tuple[Row, Place]], pipeline: SegmentPipeline) -> None:
        for row, place in segments:
            pipeline.take_over(number, row, place)
            self.counts.records += row.records
        self.counts.pages_reused += bool(segments)
        self._page_done()

    def _add_page(
        self, page: tuple[int, int, int], stamp: int, segments: Iterable[tuple[bytes, int]], pipeline: SegmentPipeline
    ) -> None:
        found = uploaded = 0
        for segment, (raw, records) in enumerate(segments):
            self._limit.take(len(raw))
            is_new = pipeline.add(page, segment, raw, records, stamp)
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

    def _draft(self, request: SnapshotRequest, table: PageTable, summary: TableSummary, started_ms: int) -> Manifest:
        base = self._known.base
        counts = self.counts
        return Manifest(
            snapshot_id=request.snapshot_id,
            cluster_id=request.cluster_id,
            node_id=request.node_id,
            mark=request.mark,
            content_id=content_id(table),
            complete=not request.databases,
            databases=database_summaries(table),
            table=summary,
            packs=self._packs(table),
            totals=Totals(
                records=counts.records,
                pages=len({(row.database, row.cluster, row.page) for row in table.rows}),
                pages_reused=counts.pages_reused,
                pages_matched=counts.pages_matched,
                pages_uploaded=counts.pages_uploaded,
                bytes_raw=sum(row.raw_length for row in table.rows),
                bytes_stored=sum(row.stored_length for row in table.rows),
                bytes_read=counts.bytes_read,
                bytes_uploaded=counts.bytes_uploaded,
            ),
            base=base.manifest.snapshot_id if base else None,
            started_ms=started_ms,
            ended_ms=0,
            software=request.software,
        )

    def _packs(self, table: PageTable) -> list[PackSummary]:
        sizes = self._repository.pack_sizes()
        packs = [pack.hex() for pack in table.packs]
        for pack in packs:
            if pack not in sizes:
                raise self._repository.damaged(layout.pack(pack), "it vanished while the snapshot was made")
        return [PackSummary(pack, sizes[pack]) for pack in packs]


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
