"""The options of an export, and how OrientDB's console spells them (ODatabaseImpExpAbstract.parseSetting)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from quiesce.errors import InvalidExportOption
from quiesce.orientdb.engine_versions import DEFAULT_ENGINE, Engine

# OrientDB's default, and its best speed.
DEFAULT_LEVEL: Final = 1
LEVELS: Final = range(10)
DEFAULT_BUFFER_BYTES: Final = 1 << 20
BUFFER_BYTES: Final = range(512, (64 << 20) + 1)

_OPTION = re.compile(r"""\s*(-[A-Za-z]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"']+))?(?=\s|$)""")
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What goes into an export, and in which form. Names are taken in any case."""

    info: bool = True
    clusters: bool = True
    schema: bool = True
    records: bool = True
    indexes: bool = True
    manual_indexes: bool = True
    # Users, roles and policies: None as the database has them, False without, True also where it has none.
    security: bool | None = None
    # Of the user `admin` where security is True and the database has no users.
    admin_password: str | None = field(default=None, repr=False)
    # None: all of them.
    include_classes: frozenset[str] | None = None
    exclude_classes: frozenset[str] = frozenset()
    include_clusters: frozenset[str] | None = None
    exclude_clusters: frozenset[str] = frozenset()
    # 0 to 9, as of gzip.
    level: int = DEFAULT_LEVEL
    # Written to the disk at once.
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    line_feeds: bool = False
    engine: Engine = DEFAULT_ENGINE


def parse_export_options(text: str, base: ExportOptions | None = None) -> ExportOptions:
    """Return the options of a text like `-excludeAll -includeSchema=true -includeClass="A B"`.

    As in OrientDB, names are taken in any case and later options change what earlier ones said. Unlike there, an option
    that does not exist is an error.

    Args:
        text: what stands behind the file's name in EXPORT DATABASE.
        base: what holds where the text says nothing.

    Raises:
        InvalidExportOption: an option is unknown, or its value is none.
    """
    options = base or ExportOptions()
    at = 0
    while text[at:].strip():
        found = _OPTION.match(text, at)
        if not found:
            raise InvalidExportOption(option=text[at:].strip().split()[0], detail="it is no `-name=value`")
        name, value = found[1], found[2]
        change = _CHANGES.get(name.lower())
        if change is None:
            raise InvalidExportOption(option=name, detail=f"known are {', '.join(_NAMES)}")
        if value is not None and value[0] in "\"'":
            value = value[1:-1]
        try:
            options = change(options, value)
        except ValueError as error:
            raise InvalidExportOption(option=found[0].strip(), detail=error) from error
        at = found.end()
    return options


_Change = Callable[[ExportOptions, str | None], ExportOptions]


def names_of(text: str | None) -> frozenset[str]:
    """Return the names of a list with blanks or commas between them, in lower case. Raises ValueError for none."""
    names = frozenset(re.split(r"[\s,]+", text.strip().lower())) if text and text.strip() else frozenset()
    if not names:
        raise ValueError("it names none")
    return names


def _truth(value: str | None) -> bool:
    # Without a value it is meant; OrientDB fails there.
    if value is None:
        return True
    if value.lower() not in _TRUTH:
        raise ValueError(f"`{value}` is neither true nor false")
    return _TRUTH[value.lower()]


def _with(options: ExportOptions, **changes: Any) -> ExportOptions:
    return replace(options, **changes)


def _flag(field: str) -> _Change:
    return lambda options, value: _with(options, **{field: _truth(value)})


def _names(field: str) -> _Change:
    # OrientDB turns the records on with what is to be included.
    records = {"records": True} if field.startswith("include") else {}
    return lambda options, value: _with(options, **{field: names_of(value)}, **records)


def _number(field: str, allowed: range) -> _Change:
    def change(options: ExportOptions, value: str | None) -> ExportOptions:
        if value is None or not value.isdecimal() or int(value) not in allowed:
            raise ValueError(f"a number from {allowed[0]} to {allowed[-1]} is asked for")
        return _with(options, **{field: int(value)})

    return change


def _nothing(options: ExportOptions, _: str | None) -> ExportOptions:
    return replace(
        options, info=False, clusters=False, schema=False, records=False, indexes=False, manual_indexes=False
    )


def _schema(options: ExportOptions, value: str | None) -> ExportOptions:
    if not _truth(value):
        return replace(options, schema=False)
    return replace(options, schema=True, clusters=True, info=True)


def _of_the_import(options: ExportOptions, value: str | None) -> ExportOptions:
    # An export keeps the ids in any case.
    _truth(value)
    return options


_BY_NAME: Final[dict[str, _Change]] = {
    "-excludeAll": _nothing,
    "-includeInfo": _flag("info"),
    "-includeClusterDefinitions": _flag("clusters"),
    "-includeSchema": _schema,
    "-includeSecurity": _flag("security"),
    "-includeRecords": _flag("records"),
    "-includeIndexDefinitions": _flag("indexes"),
    "-includeManualIndexes": _flag("manual_indexes"),
    "-includeClass": _names("include_classes"),
    "-excludeClass": _names("exclude_classes"),
    "-includeCluster": _names("include_clusters"),
    "-excludeCluster": _names("exclude_clusters"),
    "-compressionLevel": _number("level", LEVELS),
    "-compressionBuffer": _number("buffer_bytes", BUFFER_BYTES),
    "-useLineFeedForRecords": _flag("line_feeds"),
    "-preserveRids": _of_the_import,
}
_NAMES: Final = tuple(_BY_NAME)
_CHANGES: Final = {name.lower(): change for name, change in _BY_NAME.items()}
