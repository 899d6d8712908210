"""The options of an import, and how OrientDB's console spells them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from quiesce.errors import InvalidRequest


class OnError(StrEnum):
    """What to do with a record that cannot be imported."""

    STOP = "stop"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What an import does other than take all of a file as a new database. Names are compared in any case."""

    # Into a database that is there, whose records stay as they are.
    merge: bool = False
    # Cluster ids as in the file, where they are free.
    preserve_cluster_ids: bool = True
    # Positions as in the file; otherwise each cluster's records are numbered from 0 on.
    preserve_rids: bool = True
    # Links follow the records whose ids change.
    migrate_links: bool = True
    # False: the ids that changed are kept in the class `___exportImportRIDMap`.
    delete_rid_mapping: bool = True
    # None: all of them.
    include_classes: frozenset[str] | None = None
    exclude_classes: frozenset[str] = frozenset()
    include_clusters: frozenset[str] | None = None
    exclude_clusters: frozenset[str] = frozenset()
    include_records: bool = True
    include_indexes: bool = True
    include_manual_indexes: bool = True
    on_error: OnError = OnError.STOP
    # Only read, check and report.
    dry_run: bool = False
    # First remove what an interrupted import left.
    discard_unfinished: bool = False
    # Of dates that the file has as text: OrientDB wrote those in the time zone of its database.
    time_zone: str = "UTC"
    # Options that were given and change nothing here, in words.
    without_effect: tuple[str, ...] = field(default=(), compare=False)


def _truth(name: str, value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise InvalidRequest(detail=f"-{name} is true or false, not `{value}`")
    return value.lower() == "true"


def names(value: str) -> frozenset[str]:
    """Return the names in a list of OrientDB's: apart by blanks or commas."""
    return frozenset(value.replace(",", " ").split())


def _on_error(name: str, value: str) -> OnError:
    return OnError.SKIP if _truth(name, value) else OnError.STOP


def _more(name: str, value: str) -> frozenset[str]:
    found = names(value)
    if not found:
        raise InvalidRequest(detail=f"-{name} names nothing")
    return found


# By name in lower case: the field and how its value is read.
_KNOWN: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "merge": ("merge", _truth),
    "preserveclusterids": ("preserve_cluster_ids", _truth),
    "preserverids": ("preserve_rids", _truth),
    "migratelinks": ("migrate_links", _truth),
    "deleteridmapping": ("delete_rid_mapping", _truth),
    "includeclass": ("include_classes", _more),
    "excludeclass": ("exclude_classes", _more),
    "includecluster": ("include_clusters", _more),
    "excludecluster": ("exclude_clusters", _more),
    "includerecords": ("include_records", _truth),
    "includeindexdefinitions": ("include_indexes", _truth),
    "includemanualindexes": ("include_manual_indexes", _truth),
    "ignorefailedrecords": ("on_error", _on_error),
}
_WITHOUT_EFFECT = {
    "rebuildindexes": "indexes are kept up to date while records come in; none has to be rebuilt",
    "includeinfo": "what the file says of itself is always kept",
    "includeclusterdefinitions": "clusters come with the records and classes that need them",
    "includeschema": "records are of the classes that the file defines",
    "includesecurity": 'users and roles are records; leave them out with -excludeClass="OUser ORole"',
    "uselinefeedforrecords": "any white space is read",
    "backwardcompatmode": "all versions of the format are read",
    "compressionlevel": "gzip of any level is read",
    "compressionbuffer": "gzip of any level is read",
}


def parse_import_options(text: str) -> ImportOptions:
    """Return the options that stand behind the file in OrientDB's `IMPORT DATABASE`: `-merge=true -preserveRids=false`.

    Names are read in any case. What changes nothing here is listed in `without_effect`.

    Raises:
        InvalidRequest: an option that OrientDB does not have (it would ignore it), or a value that is none.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidRequest(detail=f"the options `{text}`: {error}") from None
    given: dict[str, Any] = {}
    idle: list[str] = []
    for word in words:
        name, separator, value = word.removeprefix("-").partition("=")
        if not word.startswith("-") or not name:
            raise InvalidRequest(detail=f"`{word}` is no option; one looks like -merge=true")
        key = name.lower()
        if key in _KNOWN:
            field_name, read = _KNOWN[key]
            # OrientDB has no bare switches for these, but people type them.
            given[field_name] = read(name, value if separator or read is _more else "true")
        elif key == "format" and value.lower() == "orientdb":
            idle.append("-format: it is the only one")
        elif key in _WITHOUT_EFFECT:
            idle.append(f"-{name}: {_WITHOUT_EFFECT[key]}")
        else:
            raise InvalidRequest(detail=f"there is no option `{word}` of IMPORT DATABASE")
    return replace(ImportOptions(), **given, without_effect=tuple(idle))
