"""Fills packs and uploads them, one behind the other, while the next is being filled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from quiesce.repository.writing import StoredPack
from quiesce.snapshot import PackBuilder


class PackUploader:
    """Three packs in memory at most: one being filled, one waiting, one on its way.

    `put` stores a pack, and says under which digest.
    """

    def __init__(self, put: Callable[[PackBuilder], StoredPack]) -> None:
        self._put = put
        self._builder = PackBuilder()
        self._digests: list[Future[bytes]] = []
        self._sizes: list[int] = []
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="upload")
        # Written by the upload thread only.
        self.bytes_uploaded = 0

    def add(self, digest: bytes, frame: bytes, raw_length: int) -> tuple[int, int]:
        """Put a compressed segment into a pack; return the number of the pack, from 0, and the offset there.

        Raises:
            RepositoryFull, RepositoryUnusable, DamagedObject: an earlier pack could not be stored.
        """
        if not self._builder.fits(frame):
            self._send()
        offset = self._builder.add(digest, frame, raw_length)
        return len(self._digests), offset

    def finish(self) -> list[bytes]:
        """Return the digests of all packs, by number, once they are stored. Raises what `add` raises."""
        if len(self._builder):
            self._send()
        return [future.result() for future in self._digests]

    def close(self) -> None:
        """Stop; a pack on its way is stored or not, whole."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _send(self) -> None:
        if len(self._digests) >= 2:
            self._digests[-2].result()
        self._digests.append(self._thread.submit(self._store, self._builder))
        self._builder = PackBuilder()

    def _store(self, builder: PackBuilder) -> bytes:
        stored = self._put(builder)
        self.bytes_uploaded += stored.uploaded
        return stored.digest
