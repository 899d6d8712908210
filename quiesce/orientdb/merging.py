"""An import into a database that is there: its records come into clusters of their own, which nobody sees.

They come into service in one change of the schema, together with the classes, properties and indexes that are new, or
not at all. So the database is never seen half merged, and what an interrupted merge leaves is a few hidden clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from quiesce.errors import MergeConflict, QuiesceError
from quiesce.orientdb.options import ImportOptions
from quiesce.orientdb.plan import ImportPlan, with_unknown_clusters
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.orientdb.rid_map import RidMap
from quiesce.orientdb.rid_mapping import CLASS, CLUSTER, INDEX, mapping_class, mapping_index, mapping_records
from quiesce.orientdb.survey import Survey
from quiesce.orientdb.unique_keys import ClusterKeys, plans_by_cluster
from quiesce.v1.database_pb2 import (
    AddCluster,
    ClassDefinition,
    Cluster,
    CreateProperty,
    Database,
    IndexDefinition,
    PreserveSection,
    SchemaChange,
)

SHOWN = 5
# All records enter the indexes in one entry of the log: a minute for some millions of them.
PUBLISH_TIMEOUT_S = 600.0


class MergeClient(Protocol):
    """What a merge needs of quiesce.client.AsyncClient."""

    async def database(self, name: str) -> Database: ...  # noqa: D102
    async def alter_schema(  # noqa: D102
        self, name: str, changes: Sequence[SchemaChange], *, timeout_s: float | None = None
    ) -> Database: ...


def unfinished(target: Database) -> bool:
    """Whether a merge into a database is under way, or was interrupted."""
    return any(one.importing for one in target.clusters)


async def discard_merge(client: MergeClient, target: Database) -> Database:
    """Drop what an interrupted merge left; nobody has seen it."""
    return await client.alter_schema(
        target.name, [SchemaChange(discard_cluster=one.name) for one in target.clusters if one.importing]
    )


class Merge:
    """What a file brings into a database. Names of classes and clusters are the same in any case."""

    def __init__(self, found: Survey, options: ImportOptions, target: Database) -> None:
        self._found = found
        self._options = options
        self._target = target
        self._classes = {one.name.lower(): one for one in target.classes}
        self._indexes = {one.name: one for one in target.indexes}
        # Names by the file's id, of all clusters that are made, and what those of them are called that hold no records.
        self._names: dict[int, str] = {}
        self._placeholders: list[str] = []
        self._mapping = ""
        # Ids of those that were made, by name.
        self._made: dict[str, int] = {}

    # --- before anything is made

    def check_definitions(self) -> None:
        """Check that what both define is the same, where a difference would matter.

        Raises:
            MergeConflict: it is not; it names all of it.
        """
        conflicts: list[str] = []
        other: list[str] = []
        for one in self._found.schema.classes:
            there = self._classes.get(one.name.lower())
            if there is not None:
                self._compare_class(one, there, conflicts, other)
        for index in (one.definition for one in self._found.indexes):
            known = self._indexes.get(index.name)
            if known is not None and _essence(index) != _essence(known):
                conflicts.append(f"index {index.name} is of another type, class or field")
        if conflicts:
            more = f" and {len(conflicts) - SHOWN} more" if len(conflicts) > SHOWN else ""
            detail = "; ".join(conflicts[:SHOWN]) + more
            raise MergeConflict(file=self._found.path, database=self._target.name, detail=detail)
        if other:
            self._found.notes.append(f"defined otherwise in the database, which stays as it is: {', '.join(other)}")

    def _compare_class(
        self, one: ClassDefinition, there: ClassDefinition, conflicts: list[str], other: list[str]
    ) -> None:
        records = sum(self._found.counts.get(cluster, 0) for cluster in one.cluster_ids)
        if there.abstract and records:
            conflicts.append(f"class {there.name} is abstract there, and the file has {records} records of it")
        if sorted(map(str.lower, one.super_classes)) != sorted(map(str.lower, there.super_classes)):
            other.append(f"the super-classes of {there.name}")
        known = {prop.name: prop for prop in there.properties}
        for prop in one.properties:
            if prop.name not in known:
                continue
            if known[prop.name].type.upper() != prop.type.upper():
                conflicts.append(
                    f"{there.name}.{prop.name} is {known[prop.name].type} there and {prop.type} in the file"
                )
            elif known[prop.name] != prop:
                other.append(f"{there.name}.{prop.name}")

    def keys(self) -> dict[int, ClusterKeys]:
        """Return what the file's records have in the indexes that they come into, by the file's cluster id."""
        classes = {name: _in_clusters(one, []) for name, one in self._classes.items()}
        for one in self._found.schema.classes:
            classes[one.name.lower()] = _in_clusters(self._classes.get(one.name.lower(), one), one.cluster_ids)
        return plans_by_cluster(classes.values(), [*self._target.indexes, *self._new_indexes()])

    def unique_indexes(self) -> frozenset[str]:
        """Return the unique indexes in which records of the database have keys."""
        return frozenset(
            one.name for one in self._target.indexes if one.maintained and one.type.upper().startswith("UNIQUE")
        )

    def _new_indexes(self) -> list[IndexDefinition]:
        return [one.definition for one in self._found.indexes if one.definition.name not in self._indexes]

    def _new_classes(self) -> list[ClassDefinition]:
        return [one for one in self._found.schema.classes if one.name.lower() not in self._classes]

    def _needed(self) -> list[Cluster]:
        """Return the clusters of the file that are made: those with records, and those of new classes."""
        owned = {cluster for one in self._new_classes() for cluster in one.cluster_ids}
        counts = self._found.counts
        return [one for one in self._found.clusters if counts.get(one.id) or one.id in owned]

    def predicted(self) -> ImportPlan:
        """Return a plan with the ids that the database will most likely give."""
        highest = max((one.id for one in self._target.clusters), default=-1)
        following = max([highest, *(one.id for one in self._needed())]) + 1
        clusters = {}
        for one in self._needed():
            clusters[one.id] = one.id
            if not self._options.preserve_cluster_ids or one.id <= highest:
                clusters[one.id] = following
                following += 1
        return ImportPlan(self._found, self._options, self._map(clusters))

    def _map(self, clusters: Mapping[int, int]) -> RidMap:
        # Nothing is known of the file's other clusters but that the database may have others of their ids.
        taken = {one.id for one in self._target.clusters}
        rest = dict.fromkeys((one.id for one in self._found.clusters), 0)
        moved = RidMap(self._found.rids, clusters, dense=not self._options.preserve_rids)
        return with_unknown_clusters(moved, rest, taken)

    # --- making and filling

    def hidden_clusters(self, reach: Mapping[int, int]) -> list[Cluster]:
        """Return the clusters to make. Those to which only dangling links lead take an id, and go again at the end."""
        taken = {one.name.lower() for one in self._target.clusters}
        highest = max((one.id for one in self._target.clusters), default=-1)
        clusters = []

        def add(name: str, wish: int) -> str:
            free, number = name, 0
            while free.lower() in taken:
                number += 1
                free = f"{name}_{number}"
            taken.add(free.lower())
            clusters.append(Cluster(name=free, id=wish, importing=True))
            return free

        needed = self._needed()
        keeps = self._options.preserve_cluster_ids
        # The wishes that can be granted come first: an id that is given for another one would take theirs.
        for one in sorted(needed, key=lambda one: (one.id <= highest or not keeps, one.id)):
            self._names[one.id] = add(one.name, one.id if keeps and one.id > highest else 0)
        for cluster in sorted(reach.keys() - self._names.keys()):
            self._names[cluster] = add(f"missing_{cluster}", 0)
            self._placeholders.append(self._names[cluster])
        if not self._options.delete_rid_mapping:
            self._mapping = add(CLUSTER, 0)
        return clusters

    async def make(self, client: MergeClient, clusters: list[Cluster]) -> ImportPlan:
        """Make the clusters; return the plan with the ids that they got."""
        self._made = {one.name: -1 for one in clusters}
        try:
            database = await client.alter_schema(
                self._target.name, [SchemaChange(create_cluster=one) for one in clusters]
            )
        except QuiesceError:
            # The answer may be all that was lost.
            database = await client.database(self._target.name)
            if not self._made.keys() <= {one.name for one in database.clusters if one.importing}:
                raise
        self._made = {one.name: one.id for one in database.clusters if one.importing and one.name in self._made}
        moved = self._map({old: self._made[name] for old, name in self._names.items()})
        return ImportPlan(self._found, self._options, moved, dict(self._names))

    def mapping_records(self, plan: ImportPlan) -> Iterable[ExportedRecord]:
        """Return the records that say which ids have changed, if they are to be kept."""
        if not self._mapping:
            return ()
        return mapping_records(self._found, plan.map, self._made[self._mapping])

    def expected(self, plan: ImportPlan) -> dict[int, int]:
        """Return how many records are in each of the clusters, by its id."""
        counts = {self._made[name]: self._found.counts.get(old, 0) for old, name in self._names.items()}
        if self._mapping:
            counts[self._made[self._mapping]] = sum(1 for _ in self.mapping_records(plan))
        return counts

    async def publish(self, client: MergeClient, plan: ImportPlan, reserved: list[SchemaChange]) -> None:
        """Bring everything into service at once.

        Raises:
            DuplicateKey: a key came into the database meanwhile; nothing has changed.
        """
        changes = [*self._changes(plan), *reserved]
        try:
            await client.alter_schema(self._target.name, changes, timeout_s=PUBLISH_TIMEOUT_S)
        except QuiesceError:
            database = await client.database(self._target.name)
            if any(one.importing for one in database.clusters if one.name in self._made):
                raise
            if not {one.id for one in database.clusters} >= set(self.expected(plan)) - self._placeholder_ids():
                raise

    def _placeholder_ids(self) -> set[int]:
        return {self._made[name] for name in self._placeholders}

    def _changes(self, plan: ImportPlan) -> list[SchemaChange]:
        changes = [SchemaChange(drop_cluster=name) for name in self._placeholders]
        served = [name for name in self._made if name not in self._placeholders]
        changes += [SchemaChange(publish_cluster=name) for name in served]
        changes += [SchemaChange(create_class=plan.class_definition(one)) for one in self._new_classes()]
        owners = {cluster: one for one in self._found.schema.classes for cluster in one.cluster_ids}
        for cluster, name in self._names.items():
            owner = owners.get(cluster)
            if owner is not None and owner.name.lower() in self._classes and name not in self._placeholders:
                changes.append(SchemaChange(add_cluster=AddCluster(class_name=owner.name, cluster=name)))
        for one in self._found.schema.classes:
            there = self._classes.get(one.name.lower())
            known = {prop.name for prop in there.properties} if there is not None else set()
            if there is not None:
                changes += [
                    SchemaChange(create_property=CreateProperty(class_name=there.name, property=prop))
                    for prop in one.properties
                    if prop.name not in known
                ]
        if self._mapping:
            changes += self._mapping_changes()
        changes += [SchemaChange(create_index=one) for one in self._new_indexes()]
        return changes + [
            SchemaChange(preserve=PreserveSection(section=section, json=text))
            for section, text in sorted(self._preserved(plan).items())
        ]

    def _mapping_changes(self) -> list[SchemaChange]:
        if CLASS.lower() in self._classes:
            changes = [SchemaChange(add_cluster=AddCluster(class_name=CLASS, cluster=self._mapping))]
        else:
            changes = [SchemaChange(create_class=mapping_class(self._made[self._mapping]))]
        return changes if INDEX in self._indexes else [*changes, SchemaChange(create_index=mapping_index())]

    def _preserved(self, plan: ImportPlan) -> dict[str, bytes]:
        """Return what is only kept: lists and tables of both together; of the rest, what the database has counts."""
        there = dict(self._target.preserved)
        kept = {}
        for section, text in plan.preserved().items():
            if section not in there:
                kept[section] = text
            elif section in {"brokenRids", "flatRecords", "manualIndexes"}:
                kept[section] = msgspec.json.encode([*_list(there[section]), *_list(text)])
            elif section == "indexes":
                both = _table(text) | _table(there[section])
                kept[section] = msgspec.json.encode(both)
        # What OrientDB said of the file describes no database that was there before.
        kept.pop("info", None)
        return kept

    async def drop(self, client: MergeClient) -> None:
        """Remove what was made; nobody has seen it. Only what this merge made."""
        database = await client.database(self._target.name)
        mine = [one.name for one in database.clusters if one.importing and self._made.get(one.name, -2) in (-1, one.id)]
        if mine:
            await client.alter_schema(self._target.name, [SchemaChange(discard_cluster=name) for name in mine])


def _in_clusters(one: ClassDefinition, clusters: Iterable[int]) -> ClassDefinition:
    definition = ClassDefinition()
    definition.CopyFrom(one)
    del definition.cluster_ids[:]
    definition.cluster_ids.extend(clusters)
    return definition


def _essence(index: IndexDefinition) -> tuple[object, ...]:
    kind = index.type.upper().removesuffix("_HASH_INDEX")
    return kind, index.class_name.lower(), tuple((field.name, field.by) for field in index.fields)


def _list(text: bytes) -> list[msgspec.Raw]:
    return msgspec.json.decode(text, type=list[msgspec.Raw])


def _table(text: bytes) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
