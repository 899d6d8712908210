"""Cuts JSON values out of a stream of bytes, in memory bounded by the largest single value.

An export of OrientDB is not JSON (double commas, bare record ids), so no JSON parser takes it whole. The values
inside are. Records as engines write them are cut out in Rust; for all else the C scanner of the standard library finds
where a value ends, on a Latin-1 view of the bytes, in which a character's place is its byte's place.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from typing import NoReturn

from quiesce._native import cut_records
from quiesce.errors import FileUnusable, MalformedExport, TruncatedExport
from quiesce.orientdb.oddities import Oddities
from quiesce.orientdb.record_text import DOCUMENT, ExportedRecord, NotARecord, parse_record
from quiesce.orientdb.source import ByteSource, DamagedStream

# What ExportedRecord._make does, but in C.
_as_record = functools.partial(tuple.__new__, ExportedRecord)
# The longest value taken whole: a record of the largest size, all of it in escapes, with room to spare.
VALUE_BYTES = 64 << 20

_SPACE = re.compile(r"[ \t\r\n]*")
_SPACE_OR_COMMAS = re.compile(r"[ \t\r\n,]*")
# An error this near to the end of what was read may come from the cut alone: `-Infinit` and `\u00e` are the longest.
_CUT = 12
_NUMBER_CUT = re.compile(r"[0-9.eE+-]{0,3}\Z")
_CUT_OFF = re.compile(
    r"|t|tr|tru|f|fa|fal|fals|n|nu|nul|N|Na|-?(?:I|In|Inf|Infi|Infin|Infini|Infinit)|[-+.eE0-9]+|u[0-9a-fA-F]{0,4}"
)


# As engines begin a record, in which something else is wrong.
_RECORD_START = re.compile(
    rb'[ \t\r\n,]*\{(?:\s*"@[A-Za-z]{1,20}"\s*:\s*(?:"[^"\\]{0,100}"|[0-9]{1,20})\s*,){0,4}?'
    rb'\s*"@rid"\s*:\s*"(#\d{1,5}:\d{1,19})"'
)


def _ignored(_: str) -> None:
    return None


class Scanner:
    """A cursor in the text of an export.

    `section` is the name of the section being read; errors carry it. `byte` is the cursor's place in the unpacked text.
    """

    def __init__(self, source: ByteSource, *, value_bytes: int = VALUE_BYTES) -> None:
        self.section = "(start)"
        self.oddities = Oddities()
        self._source = source
        self._value_bytes = value_bytes
        self._data = b""
        self._text = ""
        self._at = 0
        self._base = 0
        self._started = False
        # Returns a value and where it ends; raises StopIteration with a place where there is none.
        self._scan: Callable[[str, int], tuple[object, int]] = json.JSONDecoder(
            # Numbers only have to be passed over; turning them into objects could lose digits or overflow.
            parse_float=_ignored,
            parse_int=_ignored,
            parse_constant=_ignored,
        ).scan_once  # type: ignore[attr-defined]  # not in its stub

    @property
    def byte(self) -> int:
        """Where the cursor is, counted from the start of the unpacked file."""
        return self._base + self._at

    def malformed(self, detail: object, byte: int | None = None) -> NoReturn:
        """Raise MalformedExport for this place, or for `byte`."""
        place = self.byte if byte is None else byte
        record = self._record_id()
        if record and record not in str(detail):
            detail = f"record {record}: {detail}"
        raise MalformedExport(file=self._source.path, detail=detail, byte=place, section=self.section, record=record)

    def truncated(self) -> NoReturn:
        """Raise TruncatedExport for the end of the file."""
        record = self._record_id()
        raise TruncatedExport(
            file=self._source.path,
            byte=self._base + len(self._data),
            section=self.section,
            record=f", record {record}" if record else "",
        )

    def _record_id(self) -> str:
        """The id of the record that begins at the cursor; "" where there is none, or where it is not near its start."""
        found = _RECORD_START.match(self._data, self._at) if self.section == "records" else None
        return found[1].decode() if found else ""

    def _fill(self, at_least: int = 1) -> bool:
        """Read on; drops what the cursor has passed. False at the end of the file."""
        parts = [self._data[self._at :]]
        read = 0
        while read < at_least:
            try:
                chunk = self._source.chunk()
            except DamagedStream as error:
                self.malformed(error, self._base + len(self._data) + read)
            if not chunk:
                break
            parts.append(chunk)
            read += len(chunk)
        if not read:
            return False
        self._base = self._base + self._at if self._started else self._source.skipped
        self._started = True
        self._data = b"".join(parts)
        self._text = self._data.decode("latin-1")
        self._at = 0
        return True

    def peek(self, *, commas: bool = False) -> str:
        """Pass over white space (and commas) and return the next character without taking it; "" at the end."""
        skip = _SPACE_OR_COMMAS if commas else _SPACE
        while True:
            found = skip.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def take(self, expected: str, what: str) -> None:
        """Take one character. Raises MalformedExport for another one, TruncatedExport at the end of the file."""
        found = self.peek()
        if not found:
            self.truncated()
        if found != expected:
            self.malformed(f"{what} expected, {found!r} found")
        self._at += 1

    def skip(self) -> None:
        """Take the character that was peeked."""
        self._at += 1

    def value(self) -> tuple[int, bytes]:
        """Take one JSON value; return its place and its text.

        Its braces, strings and numbers are balanced and complete; its encoding is not checked. Raises MalformedExport
        and TruncatedExport, and FileUnusable for a value too large to be held.
        """
        if not self.peek():
            self.truncated()
        while True:
            start = self._at
            try:
                _, end = self._scan(self._text, start)
            except StopIteration as error:
                self._read_on_or_raise(json.JSONDecodeError("Expecting value", self._text, error.value))
                continue
            except json.JSONDecodeError as error:
                self._read_on_or_raise(error)
                continue
            except RecursionError:
                self.malformed("a value is nested too deeply")
            # A bare number may go on behind the cut: of `-0.` and of `1e+` only what is before counts as one so far.
            if self._text[end - 1] not in '"}]' and _NUMBER_CUT.match(self._text, end) and self._fill():
                continue
            self._at = end
            return self._base + start, self._data[start:end]

    def _read_on_or_raise(self, error: json.JSONDecodeError) -> None:
        """Read on where the value may only be cut by the end of what was read; doubles it, to stay linear."""
        unterminated = error.msg.startswith("Unterminated string")
        if not unterminated and error.pos < len(self._text) - _CUT:
            self._not_json(error)
        held = len(self._text) - self._at
        if held > self._value_bytes:
            raise FileUnusable(
                file=self._source.path,
                detail=f"one value in section {self.section}, at byte {self.byte}, is larger than "
                f"{self._value_bytes} bytes",
            )
        if not self._fill(held):
            if not unterminated and not _CUT_OFF.fullmatch(self._text, error.pos):
                self._not_json(error)
            self.truncated()

    def _not_json(self, error: json.JSONDecodeError) -> NoReturn:
        self.malformed(error.msg[0].lower() + error.msg[1:], self._base + error.pos)

    def records(
        self, most: int, refused: Callable[[int, str, NotARecord], None] | None = None
    ) -> Iterator[list[ExportedRecord]]:
        """Take the records of an array, behind its bracket, and its end; yield them in lists of `most` at most.

        Between them stand one comma or more. Raises as `value` does, and MalformedExport for what is no record;
        `refused` takes that instead: its place, its id or "", and what is wrong.
        """
        separated = True
        while True:
            # Nearly all go the fast way; it stops in front of what is unusual, wrong, or cut off by what was read.
            rows, self._at, separated, commas, twice = cut_records(
                self._data, self._at, self._base, separated, most, DOCUMENT
            )
            self.oddities.note("extra commas between records", commas)
            self.oddities.note("@fieldTypes twice in a document", twice)
            if rows:
                yield list(map(_as_record, rows))
                continue
            # The first one, the end, something wrong, or the end of what was read.
            while (found := self.peek()) == ",":
                self._at += 1
                if separated:
                    self.oddities.note("extra commas between records")
                separated = True
            if not found:
                self.truncated()
            if found == "]":
                self._at += 1
                return
            if found != "{":
                self.malformed(f"a record expected, {found!r} found")
            if not separated:
                self.malformed("a comma or the end of the records expected")
            byte, text = self.value()
            separated = False
            try:
                record = parse_record(text, byte, self.oddities)
            except NotARecord as error:
                behind, self._at = self._at, byte - self._base
                if refused is None:
                    self.malformed(error)
                refused(byte, self._record_id(), error)
                self._at = behind
            else:
                yield [record]

    def until(self, end: str) -> tuple[int, bytes]:
        """Take everything up to and with the character `end`; return its place and its text."""
        while (found := self._text.find(end, self._at)) < 0:
            if len(self._text) - self._at > self._value_bytes:
                raise FileUnusable(file=self._source.path, detail=f"section {self.section} is too large")
            if not self._fill():
                self.truncated()
        start, self._at = self._at, found + 1
        return self._base + start, self._data[start : found + 1]
