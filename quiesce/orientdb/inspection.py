"""What an export holds, for whoever wants to know before importing it: counts, types, links, and what is unusual."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from quiesce.orientdb.field_types import FieldTypes
from quiesce.orientdb.layout import STUBS
from quiesce.orientdb.links import FIRST_TYPED, DanglingLink, LinkCheck, LinkWalk, property_types
from quiesce.orientdb.oddities import Oddities
from quiesce.orientdb.reader import ExportReader, Section
from quiesce.orientdb.record_text import DOCUMENT, ExportedRecord
from quiesce.orientdb.survey import Survey, survey

# In the order in which engines write them; `manualIndexes` is there only where there are some.
SECTIONS = ("info", "clusters", "schema", "records", "brokenRids", "indexes", "manualIndexes")
_CLASS = re.compile(rb'\{"@class":("(?:[^"\\]|\\.)*")')
_Progress = Callable[[float], None]


@dataclass(slots=True)
class Inspection:
    """What an export holds."""

    survey: Survey
    unpacked_bytes: int = 0
    # Sections in the order of the file, with the byte at which their values begin.
    sections: list[tuple[str, int]] = field(default_factory=list)
    # All records of the file, the engine's own included.
    records: int = 0
    blobs: int = 0
    by_cluster: Counter[int] = field(default_factory=Counter)
    # "" counts documents without class.
    by_class: Counter[str] = field(default_factory=Counter)
    # Values by type, those in embedded documents included.
    types: Counter[str] = field(default_factory=Counter)
    links: int = 0
    dangling: int = 0
    # The first 1,000 of them.
    dangling_listed: list[DanglingLink] = field(default_factory=list)
    # What is unusual, how often.
    irregularities: dict[str, int] = field(default_factory=dict)


def inspect_export(path: Path, *, progress: _Progress | None = None) -> Inspection:
    """Read an export twice, in memory bounded by its largest record and its definitions.

    Args:
        path: the file.
        progress: told how much of the work is done, 0 to 1.

    Raises:
        MalformedExport, TruncatedExport, FileUnusable.
    """
    tell = progress or (lambda _: None)
    found = Inspection(survey(path, progress=lambda part: tell(part / 2)))
    before = found.survey
    untyped = before.info.exporter_version < FIRST_TYPED
    check = LinkCheck(before.resolves, LinkWalk(property_types(before.schema.classes), untyped), known=before.known())
    with ExportReader(path) as reader:
        oddities = reader.oddities
        types = FieldTypes(found.types, oddities, links_untyped=untyped)
        order = _Order(oddities)
        for part in reader:
            if isinstance(part, Section):
                found.sections.append((part.name, part.byte))
                _look_at_section(part, oddities)
            else:
                if found.records == 0:
                    found.sections.append(("records", part[0].byte))
                order.look_at(part)
                _count(found, before.wanted(part), types)
                found.records += len(part)
                found.by_cluster.update(one.cluster for one in part)
                check.look_at(before.wanted(part))
            tell(0.5 + reader.progress / 2)
        found.unpacked_bytes = reader.byte
        if reader.byte_order_mark:
            oddities.note("a byte order mark")
    _look_at_whole(found, oddities)
    found.links, found.dangling, found.dangling_listed = check.resolved, check.dangling, check.listed
    found.irregularities = oddities.counts
    return found


def _count(found: Inspection, records: list[ExportedRecord], types: FieldTypes) -> None:
    for record in records:
        if record.kind != DOCUMENT:
            found.blobs += 1
            continue
        name = _CLASS.match(record.body)
        found.by_class[msgspec.json.decode(name[1], type=str) if name else ""] += 1
        types.look_at(record.body)


class _Order:
    """Whether records are in the order of their ids, as engines write them."""

    def __init__(self, oddities: Oddities) -> None:
        self._oddities = oddities
        self._last = (-1, -1)

    def look_at(self, records: list[ExportedRecord]) -> None:
        for record in records:
            rid = (record.cluster, record.position)
            if rid < self._last:
                self._oddities.note("records out of the order of their ids")
            self._last = rid


def _look_at_section(section: Section, oddities: Oddities) -> None:
    if b"\r\n" in section.text:
        oddities.note("sections with lines that end in CR LF")
    elif b"\n" in section.text:
        oddities.note("sections in several lines")
    if section.name not in SECTIONS:
        oddities.note(f"unknown section `{section.name}`")
    elif section.name == "brokenRids":
        bare = len(re.findall(rb"(?<!\")#-?\d+:-?\d+", section.text))
        oddities.note("record ids without quotes in `brokenRids`", bare)
        oddities.note("records that were broken when they were exported", section.text.count(b"#"))
    elif section.name == "clusters":
        oddities.note("clusters with keys of old engines", len(re.findall(rb'"(?:type|rid)"\s*:', section.text)))
    elif section.name == "schema":
        oddities.note("classes with `super-class`, of engines before 2.1", section.text.count(b'"super-class"'))


def _look_at_whole(found: Inspection, oddities: Oddities) -> None:
    names = [name for name, _ in found.sections]
    for name in SECTIONS[:-1]:
        if name not in names and not (name == "brokenRids" and found.survey.info.exporter_version < 12):
            oddities.note(f"no section `{name}`")
    known = [name for name in names if name in SECTIONS]
    if known != sorted(known, key=SECTIONS.index):
        oddities.note("sections in another order")
    schema: dict[str, Any] = msgspec.json.decode(found.survey.schema.other or b"{}")
    for where in schema.get("unknown", {}):
        oddities.note(f"unknown keys in the schema, at `{where}`")
    for key in schema.get("section", {}):
        if key not in ("version", "blob-clusters"):
            oddities.note(f"unknown key `{key}` in the schema")
    ids = [one.id for one in found.survey.clusters]
    oddities.note("cluster ids without a cluster below them", max(ids, default=-1) + 1 - len(ids))
    declared = {one.id for one in found.survey.clusters if not one.name.startswith("cluster_")}
    oddities.note("clusters that are used and not listed", len(found.by_cluster.keys() - declared))
    missing = [rid for rid in STUBS if rid != (0, 0) and rid not in found.survey.rids]
    oddities.note("records #0:1 and #0:2 missing, without which OrientDB imports nothing", len(missing))
