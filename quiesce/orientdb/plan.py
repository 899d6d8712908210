"""What an import will make: definitions, and which ids the file's clusters and records get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from quiesce.errors import FileUnusable
from quiesce.orientdb.dates import DateTexts, time_zone
from quiesce.orientdb.escapes import Number, Pairs, pairs, written
from quiesce.orientdb.index_section import ExportedIndex, same_index
from quiesce.orientdb.links import FIRST_TYPED, LinkCheck, LinkWalk, property_types
from quiesce.orientdb.options import ImportOptions
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.orientdb.rid_map import RidMap
from quiesce.orientdb.survey import Survey
from quiesce.rpc.limits import MEBIBYTE
from quiesce.v1.database_pb2 import ClassDefinition, Cluster, PreserveSection, SchemaChange

# A section that Quiesce only keeps travels in one message.
PRESERVED_BYTES = 8 * MEBIBYTE
_RIDS_ONLY = frozenset({"brokenRids", "flatRecords"})


@dataclass(slots=True)
class ImportPlan:
    """A survey, what was asked for, and the ids that follow from both."""

    found: Survey
    options: ImportOptions
    map: RidMap
    # The name of a cluster in the database, by the file's id, where it is another.
    names: dict[int, str] = field(default_factory=dict)

    @property
    def moves(self) -> bool:
        """Whether links have to be changed."""
        return self.options.migrate_links and not self.map.identity

    def passage(self, *, moving: bool = True) -> Passage:
        """Return what the records of the file go through on their way, with nothing counted yet.

        `moving`: links follow; for a look that is enough at the ids of the file.
        """
        return Passage(self, moving=moving)

    def clusters(self) -> list[Cluster]:
        """Return the clusters, with their new ids."""
        return [
            Cluster(id=self.map.cluster(one.id), name=self.names.get(one.id, one.name)) for one in self.found.clusters
        ]

    def class_definition(self, one: ClassDefinition) -> ClassDefinition:
        """Return a class with the new ids of its clusters."""
        definition = ClassDefinition()
        definition.CopyFrom(one)
        del definition.cluster_ids[:]
        definition.cluster_ids.extend(self.map.cluster(cluster) for cluster in one.cluster_ids)
        if one.HasField("default_cluster_id"):
            definition.default_cluster_id = self.map.cluster(one.default_cluster_id)
        return definition

    def schema_changes(self) -> Iterator[list[SchemaChange]]:
        """Yield what to change in an empty database, each list at once.

        Indexes come before the records: each batch keeps them up, and a duplicate key shows with its record.
        """
        classes = [self.class_definition(one) for one in self.found.schema.classes]
        changes = [SchemaChange(create_cluster=one) for one in self.clusters()]
        changes += [SchemaChange(create_class=one) for one in classes]
        changes += [SchemaChange(create_index=one.definition) for one in self.found.indexes]
        yield changes
        for section, text in sorted(self.preserved().items()):
            yield [SchemaChange(preserve=PreserveSection(section=section, json=text))]

    def preserved(self) -> dict[str, bytes]:
        """Return what Quiesce only keeps, as JSON by section, with the new ids."""
        classes = {one.name: one for one in self.found.schema.classes}
        clusters = {one.id: one for one in self.found.clusters}
        kept = {
            one.definition.name: msgspec.Raw(self._index_text(one))
            for one in self.found.indexes
            if not same_index(one, classes, clusters)
        }
        sections = dict(self.found.preserved)
        if kept:
            sections["indexes"] = msgspec.json.encode(kept)
        if self.map.identity:
            return sections
        return {section: self._moved(section, text) for section, text in sections.items()}

    def _index_text(self, one: ExportedIndex) -> bytes:
        if not self.names:
            return one.raw
        by_name = {cluster.name: self.names.get(cluster.id, cluster.name) for cluster in self.found.clusters}
        document: dict[str, Any] = dict(pairs(one.raw))
        document["clustersToIndex"] = [by_name.get(name, name) for name in document.get("clustersToIndex", [])]
        return written(Pairs(document.items())).encode()

    def _moved(self, section: str, text: bytes) -> bytes:
        """Return a preserved section with its record ids and cluster ids as they are after the import."""
        check = self.passage().check
        content = pairs(text)
        if section in _RIDS_ONLY:
            content = [check.follow(one) for one in content]
        elif section == "manualIndexes":
            content = [_in_documents(one, check) for one in content]
        elif section == "schema":
            content = _blob_clusters(content, self.map.cluster)
        return written(content).encode()

    def check_sizes(self) -> None:
        """Check that what is only kept fits into messages. Raises FileUnusable."""
        for section, text in self.preserved().items():
            if len(text) > PRESERVED_BYTES:
                raise FileUnusable(
                    file=self.found.path,
                    detail=f"section {section} has {len(text)} bytes, and at most {PRESERVED_BYTES} can be kept",
                )


def _in_documents(value: Any, check: LinkCheck) -> Any:
    """Return a manual index with the links in its entries changed; those are documents with types."""
    if not isinstance(value, Pairs):
        return value
    return Pairs(
        (key, [check.walk.document(one, lambda _, text: check.follow(text)) for one in item])
        if key == "content" and isinstance(item, list)
        else (key, item)
        for key, item in value
    )


def _blob_clusters(value: Any, cluster: Callable[[int], int]) -> Any:
    """Return the section `schema` with the ids of the clusters for blobs changed."""

    def one(key: str, item: Any) -> Any:
        if key == "blob-clusters" and isinstance(item, list):
            return [Number(cluster(int(number))) for number in item]
        return _blob_clusters(item, cluster) if key == "section" else item

    return Pairs((key, one(key, item)) for key, item in value) if isinstance(value, Pairs) else value


class Passage:
    """What records of the file go through before they are written: dates become numbers, links follow."""

    def __init__(self, plan: ImportPlan, *, moving: bool) -> None:
        found, options = plan.found, plan.options
        types = property_types(found.schema.classes)
        untyped = 0 < found.info.exporter_version < FIRST_TYPED
        moved = plan.map.__getitem__ if plan.moves and moving else None
        self._plan = plan
        self._map: RidMap | None = None if plan.map.identity else plan.map
        self.check = LinkCheck(found.resolves, LinkWalk(types, untyped), moved, found.known())
        self.dates = DateTexts(types, time_zone(options.time_zone), found.info.exporter_version)

    def take(self, records: list[ExportedRecord]) -> list[ExportedRecord]:
        """Return the records that are to be imported, as they are to be, but for their own ids."""
        return self.check.look_at(self.dates.turn(self._plan.found.wanted(records)))

    def places(self, records: Sequence[ExportedRecord]) -> list[tuple[int, int]]:
        """Return the ids that records get."""
        moved = self._map
        return [moved[one[:2]] for one in records] if moved else [one[:2] for one in records]


def new_database_map(found: Survey, options: ImportOptions) -> RidMap:
    """Return the ids for a database that holds nothing else."""
    if options.preserve_cluster_ids:
        return RidMap(found.rids, {one.id: one.id for one in found.clusters}, dense=not options.preserve_rids)
    # The name that has id 0 must be OrientDB's own.
    first = 0 if any(one.name.lower() == "internal" for one in found.clusters) else 1
    ordered = sorted(found.clusters, key=lambda one: (one.name.lower() != "internal", one.id))
    clusters = {one.id: number for number, one in enumerate(ordered, first)}
    return RidMap(found.rids, clusters, dense=not options.preserve_rids)


def with_unknown_clusters(before: RidMap, reach: Mapping[int, int], taken: set[int]) -> RidMap:
    """Return a map in which clusters that only dangling links name have ids that are not taken."""
    clusters = dict(before.clusters)
    used = taken | set(clusters.values())
    for old in sorted(reach.keys() - clusters.keys()):
        new = old
        if new in used:
            new = max(used) + 1
        used.add(new)
        clusters[old] = new
    return RidMap(before.rids, clusters, dense=before.dense)
