"""Reads an export as a stream of sections and records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from quiesce.orientdb.record_text import ExportedRecord, NotARecord, parse_record
from quiesce.orientdb.scanner import VALUE_BYTES, Scanner
from quiesce.orientdb.source import CHUNK_BYTES, ByteSource

BATCH_RECORDS = 1_000
_RID = re.compile(rb'"@rid"\s*:\s*"(#-?\d{1,20}:-?\d{1,20})"')
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
                yield from self._records()
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
        return name[1].decode("utf-8", "replace")

    def _section(self, name: str) -> Section:
        # A list of bare record ids, which is not JSON.
        byte, text = self._scanner.until("]") if name == "brokenRids" else self._scanner.value()
        return Section(name, text, byte)

    def _records(self) -> Iterator[list[ExportedRecord]]:
        scanner = self._scanner
        scanner.take("[", "a list of records")
        objects = scanner.objects()
        while True:
            batch = []
            count = 0
            for byte, text in islice(objects, self._batch_records):
                count += 1
                try:
                    batch.append(parse_record(text, byte))
                except NotARecord as error:
                    if self._refused is None:
                        scanner.malformed(error, byte)
                    rid = _RID.search(text)
                    self._refused(byte, rid[1].decode("ascii") if rid else "", error)
            if not count:
                return
            if batch:
                yield batch
