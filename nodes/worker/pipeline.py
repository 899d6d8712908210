"""From raw segments to rows of the page table: known content is pointed to, new content compressed and packed.

Reading, compressing and uploading each run in a thread of their own; the last two hold no GIL.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from nodes.worker.base import Known
from nodes.worker.table_builder import Place, TableBuilder
from nodes.worker.uploader import PackUploader
from quiesce.repository.writing import StoredPack
from quiesce.snapshot import PackBuilder, PageTable, Row, compress, digest
from quiesce.v1.database_pb2 import Database

# Segments of 4 MiB, or of one record, that may wait to be compressed or packed.
_MOST_WAITING = 4


class _Waiting(NamedTuple):
    page: tuple[int, int, int]
    segment: int
    content: tuple[bytes, int, int]
    stamp: int
    # One of the two; neither where the content is that of a segment before it in the queue.
    place: Place | None
    frame: Future[bytes] | None


class SegmentPipeline:
    """Takes segments in the order of the table; memory is bounded whatever their number.

    `put` stores a pack, and says under which digest. Any method may raise what it raises.
    """

    def __init__(self, known: Known, put: Callable[[PackBuilder], StoredPack]) -> None:
        self._known = known
        self._uploader = PackUploader(put)
        self._compressor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compress")
        self._rows = TableBuilder()
        self._waiting: deque[_Waiting] = deque()
        # New content of this run: None until it has its place in a pack.
        self._added: dict[bytes, Place | None] = {}

    @property
    def bytes_uploaded(self) -> int:
        """Bytes of packs that are in the repository and were not there before."""
        return self._uploader.bytes_uploaded

    def take_over(self, database: int, row: Row, place: Place) -> None:
        """Add a segment of the base as it is."""
        content = (row.digest, row.records, row.raw_length)
        self._wait(_Waiting((database, row.cluster, row.page), row.segment, content, row.stamp, place, None))

    def add(self, page: tuple[int, int, int], segment: int, raw: bytes, records: int, stamp: int) -> bool:
        """Add a segment of `page`, which is (database number, cluster, page); return whether its content is new."""
        raw_digest = digest(raw)
        content = (raw_digest, records, len(raw))
        place = frame = None
        if raw_digest not in self._added:
            place = self._known.find(raw_digest)
            if place is None:
                self._added[raw_digest] = None
                frame = self._compressor.submit(compress, raw)
        self._wait(_Waiting(page, segment, content, stamp, place, frame))
        return frame is not None

    def finish(self, databases: Iterable[Database]) -> PageTable:
        """Return the table, once every pack that it points into is stored."""
        while self._waiting:
            self._pack()
        return self._rows.build(databases, self._uploader.finish())

    def close(self) -> None:
        """Stop; a pack on its way is stored or not, whole."""
        self._compressor.shutdown(wait=True, cancel_futures=True)
        self._uploader.close()

    def _wait(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        if len(self._waiting) > _MOST_WAITING:
            self._pack()

    def _pack(self) -> None:
        page, segment, content, stamp, place, frame = self._waiting.popleft()
        if frame is not None:
            compressed = frame.result()
            place = Place(*self._uploader.add(content[0], compressed, content[2]), len(compressed))
            self._added[content[0]] = place
        elif place is None:
            place = self._added[content[0]]
        if place is None:
            raise AssertionError("a segment before its content")
        self._rows.add(page, segment, content, stamp, place)
