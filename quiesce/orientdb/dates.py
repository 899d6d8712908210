"""Dates that an export has as text, and what they are.

Up to 1.4 (exporter 5) every date is `yyyy-MM-dd HH:mm:ss:SSS`; engines from 2.1 on write those in embedded documents as
`yyyy-MM-dd HH:mm:ss`. Both are in the time zone of the database, which an export does not name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from quiesce._native import maybe_dated
from quiesce.errors import InvalidRequest
from quiesce.orientdb.escapes import Number, Pairs, pairs, written
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.v1.record_pb2 import RecordKind

# Engines up to this one wrote no type with a date.
LAST_UNTYPED = 5
LISTED = 5

_CANDIDATE = re.compile(rb'"\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d(?::\d{3})?)?"')
_TEXT = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?::(\d{3}))?)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DATES = frozenset({"DATE", "DATETIME"})
_CODES = frozenset("ta")
_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT


def time_zone(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        InvalidRequest: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidRequest(detail=f"there is no time zone `{name}`; one is called like Europe/Rome") from None


def milliseconds(text: str, zone: ZoneInfo) -> int | None:
    """Return a date of an export in milliseconds since 1970; None where the text is no date."""
    found = _TEXT.fullmatch(text)
    if not found:
        return None
    try:
        year, month, day, hour, minute, second, more = (int(part or 0) for part in found.groups())
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone)
        return (moment - _EPOCH) // _MILLISECOND + more
    except (ValueError, OverflowError):
        return None


@dataclass(slots=True)
class DateTexts:
    """Turns dates that are texts into milliseconds, as every other date of an export is.

    Args (of the constructor):
        types: property types by class and name, inherited ones included.
        zone: of the database that was exported.
        exporter_version: of the file.
    """

    types: Mapping[str, Mapping[str, str]]
    zone: ZoneInfo
    exporter_version: int
    # Fields that were turned.
    turned: int = 0
    # Texts that may be dates but nothing says so, or that should be dates and cannot be read; they stay texts.
    kept: int = 0
    # Where the first LISTED of them are.
    listed: list[str] = field(default_factory=list)

    def turn(self, records: list[ExportedRecord]) -> list[ExportedRecord]:
        """Return the records with their dates as numbers; others are not touched."""
        places = maybe_dated(records)
        if not places:
            return records
        found = list(records)
        for place in places:
            one = records[place]
            if one.kind == _DOCUMENT and _CANDIDATE.search(one.body):
                found[place] = self._record(one)
        return found

    def _record(self, record: ExportedRecord) -> ExportedRecord:
        body = pairs(record.body)
        fields = self._document(body, f"#{record.cluster}:{record.position} ")
        return record if fields == body else record._replace(body=written(fields).encode("ascii"))

    def _document(self, fields: Pairs, path: str) -> Pairs:
        named: dict[str, Any] = dict(fields)
        entries = [entry.rpartition("=") for entry in named.get("@fieldTypes", "").split(",") if entry]
        codes = {name: code for name, _, code in entries}
        declared = self.types.get(named.get("@class", ""), {})
        for name, value in named.items():
            if name.startswith("@"):
                continue
            if not isinstance(value, str) or isinstance(value, Number):
                named[name] = self._inside(value, f"{path}{name}")
                continue
            known = declared.get(name) in _DATES or codes.get(name) in _CODES
            number = milliseconds(value, self.zone) if known else None
            if number is not None:
                named[name] = Number(number)
                codes.setdefault(name, "t")
                self.turned += 1
            elif known or (declared.get(name) is None and name not in codes and self._suspicious(value)):
                # A type that the text does not fit would make the whole record unreadable.
                if codes.get(name) in _CODES:
                    del codes[name]
                self._keep(f"{path}{name}")
        named.pop("@fieldTypes", None)
        if codes:
            named["@fieldTypes"] = ",".join(f"{name}={code}" for name, code in codes.items())
        return Pairs(named.items())

    def _inside(self, value: Any, path: str) -> Any:
        if isinstance(value, Pairs):
            if any(key == "@type" for key, _ in value):
                return self._document(value, f"{path}.")
            return Pairs((key, self._inside(item, f"{path}.{key}")) for key, item in value)
        if isinstance(value, list):
            return [self._inside(item, f"{path}[{at}]") for at, item in enumerate(value)]
        if isinstance(value, str) and not isinstance(value, Number) and self._suspicious(value):
            self._keep(path)
        return value

    def _suspicious(self, text: str) -> bool:
        """Whether an old engine would have written a date so, where nothing says what it is."""
        found = _TEXT.fullmatch(text)
        return 0 < self.exporter_version <= LAST_UNTYPED and bool(found and found[7])

    def _keep(self, where: str) -> None:
        self.kept += 1
        if len(self.listed) < LISTED:
            self.listed.append(where)
