"""Reads segments and checks them: each pack whole once, each segment always."""

from __future__ import annotations

from collections import OrderedDict

from quiesce.repository import layout
from quiesce.repository.repository import Repository
from quiesce.snapshot.database_page import decode_database_page
from quiesce.snapshot.malformed import MalformedObject
from quiesce.snapshot.manifest import Manifest
from quiesce.snapshot.pack import decompress, digest
from quiesce.snapshot.table import DATABASE_PAGE, PageTable, Row
from quiesce.v1.database_pb2 import Database

# Whole packs kept in memory: rows of one page after another mostly lie in one pack, or in few.
_KEPT_PACKS = 3


class SegmentReader:
    """The segments of one snapshot, in any order; `bytes_read` counts what came from the repository."""

    def __init__(self, repository: Repository, manifest: Manifest, table: PageTable) -> None:
        self._repository = repository
        self._table = table
        self._name = layout.table(manifest.table.digest)
        self._packs = [pack.hex() for pack in table.packs]
        self._sizes = {pack.digest: pack.size for pack in manifest.packs}
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._checked: set[int] = set()
        self.bytes_read = 0

    def read(self, row: Row) -> bytes:
        """Return the raw bytes of the segment in `row`.

        Raises:
            DamagedObject: its pack is missing or was changed, or the segment does not fit its digest.
        """
        name = layout.pack(self._packs[row.pack])
        frame = self._frame(name, row)
        try:
            raw = decompress(frame, row.raw_length)
        except MalformedObject as error:
            raise self._repository.damaged(name, f"at byte {row.offset}: {error}") from error
        if digest(raw) != row.digest:
            raise self._repository.damaged(name, f"the segment at byte {row.offset} does not fit its digest")
        return raw

    def read_database(self, number: int) -> Database:
        """Return the definition of the database of that number in the page table; its id is 0.

        Raises:
            DamagedObject: its page is missing, was changed, or is of another database.
        """
        name = self._table.databases[number].name
        rows = [row for row in self._table.rows if row.database == number and row.cluster == DATABASE_PAGE]
        if not rows:
            raise self._repository.damaged(self._name, f"it has no page for database {name}")
        try:
            database = decode_database_page(b"".join(map(self.read, rows)))
        except MalformedObject as error:
            pack = layout.pack(self._packs[rows[0].pack])
            raise self._repository.damaged(pack, f"at byte {rows[0].offset}: {error}") from error
        if database.name != name:
            raise self._repository.damaged(self._name, f"the page of database {name} is that of {database.name}")
        return database

    def _frame(self, name: str, row: Row) -> bytes:
        kept = self._kept.get(row.pack)
        if kept is None and row.pack in self._checked:
            # Back to a pack that was let go: reading it whole again for each segment would not end.
            try:
                frame = self._repository.objects.get_range(name, row.offset, row.stored_length)
            except FileNotFoundError:
                raise self._repository.damaged(name, "it is missing") from None
            self.bytes_read += len(frame)
            return frame
        if kept is None:
            kept = self._whole(name, row.pack)
        self._kept.move_to_end(row.pack)
        return kept[row.offset : row.offset + row.stored_length]

    def _whole(self, name: str, pack: int) -> bytes:
        pack_digest = self._packs[pack]
        data = self._repository.get_digested(name, pack_digest, self._sizes[pack_digest])
        self.bytes_read += len(data)
        self._checked.add(pack)
        self._kept[pack] = data
        if len(self._kept) > _KEPT_PACKS:
            self._kept.popitem(last=False)
        return data
