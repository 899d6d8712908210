"""Says what a checkpoint holds: the content id that a snapshot of it would have. Nothing is uploaded."""

from __future__ import annotations

from nodes.worker.table_builder import Place
from nodes.worker.walk import Walk
from quiesce.snapshot import ManifestMark, PageTable, Row, TableDatabase, content_id, digest


class Digests:
    """Keeps of each segment what the content id is made of."""

    bytes_uploaded = 0

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def take_over(self, database: int, row: Row, _place: Place) -> None:
        """Take a segment of the base as it is."""
        self._add(database, row.cluster, row.page, row.segment, row.digest)

    def add(self, page: tuple[int, int, int], segment: int, raw: bytes, _records: int, _stamp: int) -> bool:
        """Take a segment that was read."""
        self._add(*page, segment, digest(raw))
        return False

    def _add(self, database: int, cluster: int, page: int, segment: int, of: bytes) -> None:
        self.rows.append(Row(database, cluster, page, segment, of, 0, 0, 0, 0, 0, 0))


def attest(walk: Walk, mark: ManifestMark, names: tuple[str, ...]) -> str:
    """Return the content id of the databases of those names, all where there are none, at the mark.

    Raises:
        UnknownDatabase: one that was asked for is not there.
        DamagedStore: the checkpoint is damaged, or not one of the mark.
    """
    databases, digests = walk.begin(mark, names), Digests()
    walk.go(databases, digests)
    return content_id(PageTable([TableDatabase(one.name, one.id) for one in databases], [], digests.rows))
