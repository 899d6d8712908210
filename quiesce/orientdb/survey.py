"""The first pass over an export: everything but the records themselves, and that the file is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from quiesce._native import KnownRecords
from quiesce.errors import MalformedExport
from quiesce.orientdb.escapes import Pairs, pairs, written
from quiesce.orientdb.index_section import ExportedIndex, compact, parse_indexes
from quiesce.orientdb.reader import ExportReader, Section
from quiesce.orientdb.record_text import ExportedRecord, NotARecord
from quiesce.orientdb.rid_set import DuplicateRecord, RidSet
from quiesce.orientdb.schema_section import (
    Info,
    NotASection,
    Schema,
    parse_broken,
    parse_clusters,
    parse_info,
    parse_schema,
)
from quiesce.v1.database_pb2 import Cluster

# Clusters whose records the engine makes for itself and makes anew in any database.
ENGINE_CLUSTERS = frozenset({"internal", "index", "manindex", "orids"})


@dataclass(frozen=True, slots=True)
class Skipped:
    """What could not be imported, and was passed over."""

    section: str
    # "" where the record has none that can be read.
    record: str
    # Where it begins in the unpacked file.
    byte: int
    reason: str


@dataclass(slots=True)
class Survey:
    """What an export holds, but for its records."""

    path: Path
    info: Info = field(default_factory=Info)
    clusters: list[Cluster] = field(default_factory=list)
    schema: Schema = field(default_factory=Schema)
    indexes: list[ExportedIndex] = field(default_factory=list)
    # JSON by section, of what Quiesce does not use and gives back in an export.
    preserved: dict[str, bytes] = field(default_factory=dict)
    rids: RidSet = field(default_factory=RidSet)
    # Records to be imported, by cluster, and the engine's own, which are not.
    counts: dict[int, int] = field(default_factory=dict)
    # Clusters of `counts` that come in without their records.
    hidden: set[int] = field(default_factory=set)
    # Records that are passed over because they cannot be imported.
    skipped: set[tuple[int, int]] = field(default_factory=set)
    engine_records: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def records(self) -> int:
        """How many records are to be imported."""
        return sum(self.counts.values())

    def wanted(self, records: Iterable[ExportedRecord]) -> list[ExportedRecord]:
        """Leave out the engine's own records, and what is not to be imported."""
        clusters, engine = self.counts.keys() - self.hidden, self.info.engine_records
        wanted = [one for one in records if one[0] in clusters and (one[0], one[1]) not in engine]
        return [one for one in wanted if one[:2] not in self.skipped] if self.skipped else wanted

    def resolves(self, rid: tuple[int, int]) -> bool:
        """Whether a record of that id is imported."""
        return (
            rid[0] in self.counts
            and rid in self.rids
            and rid not in self.info.engine_records
            and rid[0] not in self.hidden
            and rid not in self.skipped
        )

    def known(self) -> KnownRecords:
        """Return what `resolves` says, for many at once; of what is hidden or skipped later only the second counts."""
        clusters = self.counts.keys() - self.hidden
        return KnownRecords(self.rids.runs(clusters), self.info.engine_records, self.skipped)

    def skip(self, rid: tuple[int, int]) -> None:
        """Leave out a record."""
        self.skipped.add(rid)
        self.counts[rid[0]] -= 1


def survey(path: Path, *, progress: Callable[[float], None] | None = None) -> Survey:
    """Read a whole export, check its form, and return what it holds.

    Args:
        path: the file.
        progress: told which part of the file was read, 0 to 1.

    Raises:
        MalformedExport, TruncatedExport, FileUnusable.
    """
    found = Survey(path)
    for part in survey_steps(found):
        if progress:
            progress(part)
    return found


def survey_steps(found: Survey, skip: Callable[[Skipped], None] | None = None) -> Iterator[float]:
    """Fill a survey step by step, to let others work in between; yields which part of the file was read.

    `skip` is told of records that cannot be read; without it the first one is an error.
    """
    byte = 0
    flat: list[str] = []

    def refused(byte: int, rid: str, error: NotARecord) -> None:
        if skip:
            skip(Skipped("records", rid, byte, str(error)))

    with ExportReader(found.path, refused=refused if skip else None) as reader:
        for part in reader:
            section, byte = (part.name, part.byte) if isinstance(part, Section) else ("records", part[0].byte)
            try:
                if isinstance(part, Section):
                    _take(found, part)
                else:
                    found.rids.add(part)
                    flat += [f"#{one.cluster}:{one.position}" for one in part if one.flat]
            except (NotASection, DuplicateRecord) as error:
                raise _malformed(found.path, error, byte, section) from error
            yield reader.progress
    try:
        found.rids.close()
    except DuplicateRecord as error:
        raise _malformed(found.path, error, byte, "records") from error
    if flat:
        found.preserved["flatRecords"] = msgspec.json.encode(flat)
    _finish(found)


def _malformed(path: Path, error: Exception, byte: int, section: str) -> MalformedExport:
    detail = f"record {error} is there twice" if isinstance(error, DuplicateRecord) else error
    return MalformedExport(file=path, detail=detail, byte=byte, section=section)


def _take(found: Survey, section: Section) -> None:
    match section.name:
        case "info":
            found.info = parse_info(section.text)
            found.preserved["info"] = _json(section.text)
        case "clusters":
            found.clusters = parse_clusters(section.text)
        case "schema":
            found.schema = parse_schema(section.text)
            found.preserved["schema"] = found.schema.other
        case "indexes":
            found.indexes = parse_indexes(section.text)
        case "brokenRids":
            broken = parse_broken(section.text)
            if broken:
                found.preserved["brokenRids"] = msgspec.json.encode(broken)
                found.notes.append(
                    f"{len(broken)} records were broken when the file was exported: {', '.join(broken[:5])}"
                )
        case "manualIndexes":
            found.preserved["manualIndexes"] = _json(section.text)
        case other:
            found.preserved[f"section:{other}"] = _json(section.text)
            found.notes.append(f"section `{other}` is not known; it is kept for the next export")


def _json(text: bytes) -> bytes:
    try:
        return compact(written(pairs(text)).encode())
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        raise NotASection(str(error)) from error


def _finish(found: Survey) -> None:
    """What can only be told when all sections were seen, in whatever order they came."""
    counts = found.rids.counts()
    used = {cluster for one in found.schema.classes for cluster in one.cluster_ids} | set(counts)
    taken = {one.name for one in found.clusters}
    for cluster in sorted(used - {one.id for one in found.clusters}):
        name = _free_name(f"cluster_{cluster}", taken)
        taken.add(name)
        found.clusters.append(Cluster(id=cluster, name=name))
        found.notes.append(f"cluster {cluster} is not among the file's clusters; it becomes `{name}`")
    # Fillers that an export of Quiesce holds because OrientDB wants ids without gaps.
    fillers = found.info.fillers
    found.clusters = [
        one for one in found.clusters if one.id in used or (one.name != f"gap_{one.id}" and one.id not in fillers)
    ]
    found.clusters.sort(key=lambda one: one.id)
    engine = {one.id for one in found.clusters if one.name.lower() in ENGINE_CLUSTERS}
    found.counts = {one.id: counts.get(one.id, 0) for one in found.clusters if one.id not in engine}
    for cluster, position in found.info.engine_records:
        if cluster in found.counts and (cluster, position) in found.rids:
            found.counts[cluster] -= 1
    found.engine_records = sum(counts.values()) - found.records
    _keep_what_was_kept(found)


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _keep_what_was_kept(found: Survey) -> None:
    """An export of Quiesce carries what the database kept of its first import; that counts, not this file's own."""
    if not found.info.kept:
        return
    kept = pairs(found.info.kept)
    sections = next((value for key, value in kept if key == "preserved"), Pairs())
    if not isinstance(sections, Pairs):
        return
    found.preserved.pop("info", None)
    for name, value in sections:
        found.preserved[name] = written(value).encode()
