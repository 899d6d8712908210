"""Makes a snapshot: reads what changed, uploads what is new, and drafts the manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from nodes.rate_limit import RateLimit
from nodes.worker.base import Known
from nodes.worker.pipeline import SegmentPipeline
from nodes.worker.progress import Counts
from nodes.worker.sample import Sample
from nodes.worker.source import SnapshotSource
from nodes.worker.table_builder import database_summaries
from nodes.worker.walk import Walk
from quiesce.repository import Repository, layout
from quiesce.repository.writing import put_pack
from quiesce.snapshot import Manifest, ManifestMark, PackSummary, PageTable, TableSummary, Totals, content_id


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
        sample: Sample | None = None,
    ) -> None:
        self._repository = repository
        self._known = known
        self._walk = Walk(source, known.base, limit, progress, sample)

    @property
    def counts(self) -> Counts:
        """How far it is."""
        return self._walk.counts

    def run(self, request: SnapshotRequest, *, started_ms: int) -> Manifest:
        """Upload everything but the manifest, and return its draft.

        Raises:
            UnknownDatabase: one that was asked for is not there.
            DamagedStore: the checkpoint is not one of the mark.
            RepositoryFull, RepositoryUnusable: the repository takes no more.
            DamagedObject: a pack that is needed was cut short, or vanished.
        """
        databases = self._walk.begin(request.mark, request.databases)
        pipeline = SegmentPipeline(self._known, partial(put_pack, self._repository, avoid=self._known.avoid))
        try:
            self._walk.go(databases, pipeline)
            table = pipeline.finish(databases)
        finally:
            pipeline.close()
        self.counts.bytes_uploaded = pipeline.bytes_uploaded
        table_digest, table_size = self._repository.put_table(table, self._known.avoid)
        return self._draft(request, table, TableSummary(table_digest, table_size, len(table.rows)), started_ms)

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
