"""The bytes of an export file, unpacked, in chunks of bounded size."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from isal import igzip_lib

from quiesce.errors import FileUnusable

CHUNK_BYTES = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


class DamagedStream(Exception):
    """The file's compression is broken; the reader adds the place and raises MalformedExport."""


class ByteSource:
    """Reads an export, gzip or plain, as one stream of bytes.

    `file_bytes` is the size of the file, `consumed` how much of it was read: what a progress bar needs.
    Raises FileUnusable where the file cannot be opened or read, DamagedStream where its compression is broken.
    """

    def __init__(self, path: Path, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.path = path
        self.consumed = 0
        # Bytes left out in front of the first chunk: a byte order mark.
        self.skipped = 0
        self._chunk_bytes = chunk_bytes
        self._pending = b""
        self._ended = False
        self._cut = False
        self._started = False
        try:
            if path.is_dir():
                raise FileUnusable(file=path, detail="it is a directory")
            self._file = path.open("rb")
            self.file_bytes = path.stat().st_size
            self._gzip = _decompressor() if self._file.peek(2)[:2] == _GZIP_MAGIC else None
        except OSError as error:
            raise FileUnusable(file=path, detail=error.strerror or error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def whole(self) -> bool:
        """Whether the end of the file is the end of its compression, too; to be asked at the end."""
        return not self._cut

    def chunk(self) -> bytes:
        """Return the next bytes, at least one, or b"" at the end of the file (whether or not it ends rightly)."""
        if self._started:
            return self._next()
        self._started = True
        start = b""
        while len(start) < len(_BOM) and (more := self._next()):
            start += more
        if not start.startswith(_BOM):
            return start
        self.skipped = len(_BOM)
        return start[len(_BOM) :] or self._next()

    def _next(self) -> bytes:
        return self._read() if self._gzip is None else self._unpack(self._gzip)

    def _read(self) -> bytes:
        try:
            data = self._file.read(self._chunk_bytes)
        except OSError as error:
            raise FileUnusable(file=self.path, detail=error.strerror or error) from error
        self.consumed += len(data)
        return data

    def _unpack(self, gzip: igzip_lib.IgzipDecompressor) -> bytes:
        while not self._ended:
            if gzip.eof:
                gzip = self._next_member(gzip.unused_data)
                continue
            packed = b""
            if gzip.needs_input:
                packed, self._pending = self._pending or self._read(), b""
                self._ended = self._cut = not packed
            try:
                data = gzip.decompress(packed, self._chunk_bytes)
            except igzip_lib.IsalError as error:  # type: ignore[misc]  # a class, whatever its stub says
                raise DamagedStream(f"its gzip compression is damaged ({error})") from error
            if data:
                return data
        return b""

    def _next_member(self, rest: bytes) -> igzip_lib.IgzipDecompressor:
        """Gzip files may be joined; zeros behind the last one are padding."""
        rest = rest.lstrip(b"\0") or self._read().lstrip(b"\0")
        if rest and not rest.startswith(_GZIP_MAGIC[: len(rest)]):
            raise DamagedStream("something follows its gzip compression")
        self._ended = not rest
        self._pending = rest
        self._gzip = _decompressor()
        return self._gzip


def _decompressor() -> igzip_lib.IgzipDecompressor:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
