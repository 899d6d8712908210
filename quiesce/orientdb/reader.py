"""Reads an export as a stream of sections and records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from quiesce.orientdb.oddities import Oddities
from quiesce.orientdb.record_text import ExportedRecord, NotARecord, has_half_pair
from quiesce.orientdb.scanner import VALUE_BYTES, Scanner
from quiesce.orientdb.source import CHUNK_BYTES, ByteSource

BATCH_RECORDS = 1_000
_NAME = re.compile(rb'"([^"\\]{0,200})"')


@dataclass(frozen=True, slots=True)
class Section:
    """One top-level section other than `records`, as its text."""

    name: str
    text: bytes
    # Where its value begins in the unpacked file.
    byte: int


class ExportReader:
    """Iterates over an export, in the order of the file: a Section, or a list of records.

    Reads gzip and plain text, any white space and order of sections and keys, in memory bounded by the largest record
    and section. Raises MalformedExport, TruncatedExport and FileUnusable; what came before an error is no whole
    file.
    """

    def __init__(
        self,
        path: Path,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        value_bytes: int = VALUE_BYTES,
        batch_records: int = BATCH_RECORDS,
        refused: Callable[[int, str, NotARecord], None] | None = None,
    ) -> None:
        self._source = ByteSource(path, chunk_bytes=chunk_bytes)
        self._scanner = Scanner(self._source, value_bytes=value_bytes)
        self._batch_records = batch_records
        # Takes the place, the id if it can be read, and what is wrong with a record; the others are read on then.
        self._refused = refused

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()

    @property
    def oddities(self) -> Oddities:
        """What was unusual in the records so far."""
        return self._scanner.oddities

    @property
    def byte(self) -> int:
        """How far the file is read, in bytes of its unpacked text."""
        return self._scanner.byte

    @property
    def byte_order_mark(self) -> bool:
        """Whether the text began with one."""
        return self._source.skipped > 0

    @property
    def progress(self) -> float:
        """The part of the file that was read, 0 to 1."""
        return self._source.consumed / max(self._source.file_bytes, 1)

    def __iter__(self) -> Iterator[Section | list[ExportedRecord]]:
        scanner = self._scanner
        self._check_start()
        scanner.take("{", "an object")
        seen: set[str] = set()
        while True:
            found = scanner.peek(commas=bool(seen))
            if found == "}":
                break
            name = self._section_name()
            if name in seen:
                scanner.malformed(f"section {name} is there twice")
            seen.add(name)
            scanner.section = name
            scanner.take(":", "a colon")
            if name == "records":
                scanner.take("[", "a list of records")
                yield from scanner.records(self._batch_records, self._refused)
            else:
                yield self._section(name)
            scanner.section = f"(after {name})"
            if scanner.peek() not in {",", "}", ""}:
                scanner.malformed("a comma or the end expected")
        scanner.skip()
        scanner.section = "(end)"
        if scanner.peek():
            scanner.malformed("something follows the end of the export")
        if not self._source.whole:
            scanner.truncated()

    def _check_start(self) -> None:
        scanner = self._scanner
        start = scanner.peek()
        if start == "P":
            scanner.malformed(
                "it looks like a zip archive, such as OrientDB's BACKUP DATABASE writes; only exports can be read"
            )
        if start and start != "{":
            scanner.malformed(f"an export begins with a brace, not with {start!r}")

    def _section_name(self) -> str:
        scanner = self._scanner
        found = scanner.peek()
        if found and found != '"':
            scanner.malformed(f"the name of a section expected, {found!r} found")
        byte, text = scanner.value()
        name = _NAME.fullmatch(text)
        if not name:
            scanner.malformed("the name of a section is not plain", byte)
        return self._utf8(name[1], byte + 1)

    def _section(self, name: str) -> Section:
        # A list of bare record ids, which is not JSON.
        byte, text = self._scanner.until("]") if name == "brokenRids" else self._scanner.value()
        self._utf8(text, byte)
        if name != "brokenRids" and has_half_pair(text):
            self._scanner.malformed("half of a surrogate pair, which is no character", byte)
        return Section(name, text, byte)

    def _utf8(self, text: bytes, byte: int) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            self._scanner.malformed(error.reason, byte + error.start)
