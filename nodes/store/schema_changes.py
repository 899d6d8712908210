"""Changes of a schema: from one DatabaseSchema and a list of changes to the next, all or none; no effects here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nodes.store import alterations
from nodes.store.class_tree import super_class_problem
from nodes.store.constraints import PROPERTY_TYPES, bound_problem
from nodes.store.schema import DatabaseSchema
from quiesce.errors import InvalidSchemaChange, UnknownClass
from quiesce.indexing.definition import complete
from quiesce.records.rid import MAX_CLUSTER_ID, MAX_POSITION
from quiesce.v1.database_pb2 import (
    AddCluster,
    AlterClass,
    AlterCluster,
    AlterProperty,
    ClassDefinition,
    Cluster,
    CreateProperty,
    Database,
    DatabaseState,
    DropProperty,
    IndexDefinition,
    PreserveSection,
    PropertyDefinition,
    ReserveIds,
    SchemaChange,
)

_MAINTAINED = ("UNIQUE", "NOTUNIQUE", "DICTIONARY")
_NAME_BYTES = 512


@dataclass(slots=True)
class SchemaResult:
    """The changed definition, and what has to happen to the data with it."""

    message: Database
    next_cluster: int
    next_index: int
    dropped_clusters: list[int] = field(default_factory=list)
    created_clusters: list[int] = field(default_factory=list)
    dropped_indexes: list[int] = field(default_factory=list)
    created_indexes: list[int] = field(default_factory=list)
    # The lowest position that records of a cluster may get, by its id.
    reserved: dict[int, int] = field(default_factory=dict)


def change_schema(
    schema: DatabaseSchema, changes: Iterable[SchemaChange], *, next_cluster: int, next_index: int
) -> SchemaResult:
    """Apply changes in order; `next_cluster` and `next_index` are the lowest ids that were never given.

    Raises:
        InvalidSchemaChange: one of them is not possible; none is applied then.
    """
    message = Database()
    message.CopyFrom(schema.message)
    changing = _Changing(SchemaResult(message, next_cluster, next_index))
    for change in changes:
        changing.apply(change)
    changing.check()
    return changing.result


def new_database(name: str, database_id: int, *, importing: bool) -> SchemaResult:
    """Return a new database: OrientDB's own clusters with V and E, or nothing where an import brings them."""
    message = Database(name=name, id=database_id)
    message.state = DatabaseState.DATABASE_STATE_IMPORTING if importing else DatabaseState.DATABASE_STATE_ONLINE
    changing = _Changing(SchemaResult(message, 0, 1))
    if not importing:
        for number, cluster in enumerate(("internal", "index", "manindex", "default", "v", "e")):
            changing.create_cluster(Cluster(id=number, name=cluster))
        for number, class_name in ((4, "V"), (5, "E")):
            changing.create_class(ClassDefinition(name=class_name, cluster_ids=[number]))
    return changing.result


class _Changing:
    def __init__(self, result: SchemaResult) -> None:
        self.result = result
        self.message = result.message
        self.clusters = {cluster.name.lower(): cluster.id for cluster in self.message.clusters}
        self.ids = set(self.clusters.values())
        self.classes = {definition.name.lower(): definition for definition in self.message.classes}
        # Definitions come from an export, and may be more than what is kept up to date here.
        self.importing = self.message.state == DatabaseState.DATABASE_STATE_IMPORTING

    def refuse(self, detail: str) -> InvalidSchemaChange:
        return InvalidSchemaChange(database=self.message.name, detail=detail)

    def apply(self, change: SchemaChange) -> None:
        kind = change.WhichOneof("change")
        if kind is None:
            raise self.refuse("a change is empty, or of a newer version")
        getattr(self, kind)(getattr(change, kind))

    # --- clusters

    def create_cluster(self, cluster: Cluster) -> None:
        name = self._name("cluster", cluster.name)
        if name.lower() in self.clusters:
            raise self.refuse(f"there is a cluster `{name}` already")
        # Id 0 is a real one, but only `internal` has it; for any other name it means that none was given.
        given = cluster.id > 0 or name.lower() == "internal"
        # Old links may lead to an id that was given before; a record that a merge brings must not be their end.
        used = cluster.importing and cluster.id < self.result.next_cluster
        number = cluster.id if given and not used else self._next_cluster()
        if number > MAX_CLUSTER_ID:
            raise self.refuse(f"cluster id {number} is over the limit of {MAX_CLUSTER_ID}")
        if number in self.ids:
            raise self.refuse(f"there is a cluster with id {number} already")
        self.message.clusters.add(id=number, name=name, importing=cluster.importing)
        self.message.clusters.sort(key=lambda found: found.id)
        self.clusters[name.lower()] = number
        self.ids.add(number)
        self.result.created_clusters.append(number)
        self.result.next_cluster = max(self.result.next_cluster, number + 1)

    def _next_cluster(self) -> int:
        if self.result.next_cluster <= MAX_CLUSTER_ID:
            return self.result.next_cluster
        for number in range(1, MAX_CLUSTER_ID + 1):
            if number not in self.ids:
                return number
        raise self.refuse(f"it has all of the {MAX_CLUSTER_ID + 1} clusters that are possible")

    def _cluster(self, name: str) -> Cluster:
        found = next((cluster for cluster in self.message.clusters if cluster.name.lower() == name.lower()), None)
        if found is None:
            raise self.refuse(f"there is no cluster `{name}`")
        return found

    def publish_cluster(self, name: str) -> None:
        self._cluster(name).importing = False
        self.importing = True

    def discard_cluster(self, name: str) -> None:
        if not self._cluster(name).importing:
            raise self.refuse(f"cluster `{name}` is in service, and not left by an import")
        self._remove_cluster(self._cluster(name).id)

    def add_cluster(self, change: AddCluster) -> None:
        definition = self._class(change.class_name)
        if definition.abstract:
            raise self.refuse(f"class `{definition.name}` is abstract and cannot have clusters")
        self._check_free(definition.name, self._cluster(change.cluster).id, self._owned())
        definition.cluster_ids.append(self._cluster(change.cluster).id)

    def reserve_ids(self, change: ReserveIds) -> None:
        if change.cluster > MAX_CLUSTER_ID or change.next_position > MAX_POSITION:
            raise self.refuse(f"#{change.cluster}:{change.next_position} is no record id")
        if change.cluster in self.ids:
            self.result.reserved[change.cluster] = max(
                self.result.reserved.get(change.cluster, 0), change.next_position
            )
        self.result.next_cluster = max(self.result.next_cluster, change.cluster + 1)

    def drop_cluster(self, name: str) -> None:
        number = self._cluster(name).id
        for definition in self.message.classes:
            if number in definition.cluster_ids:
                if len(definition.cluster_ids) == 1:
                    raise self.refuse(f"cluster `{name}` is the only one of class `{definition.name}`: drop the class")
                definition.cluster_ids.remove(number)
                if definition.default_cluster_id == number:
                    definition.default_cluster_id = definition.cluster_ids[0]
        self._remove_cluster(number)

    def _remove_cluster(self, number: int) -> None:
        at = next(i for i, cluster in enumerate(self.message.clusters) if cluster.id == number)
        del self.clusters[self.message.clusters[at].name.lower()]
        del self.message.clusters[at]
        self.ids.discard(number)
        if number in self.result.created_clusters:
            self.result.created_clusters.remove(number)
        else:
            self.result.dropped_clusters.append(number)

    # --- classes

    def create_class(self, given: ClassDefinition) -> None:
        name = self._name("class", given.name)
        if name.lower() in self.classes:
            raise self.refuse(f"there is a class `{name}` already")
        definition = ClassDefinition()
        definition.CopyFrom(given)
        if definition.abstract:
            if definition.cluster_ids:
                raise self.refuse(f"class `{name}` is abstract and cannot have clusters")
            definition.ClearField("default_cluster_id")
        else:
            if not definition.cluster_ids:
                definition.cluster_ids.append(self._cluster_for(name))
            self._check_clusters(definition)
        declared = list(definition.properties)
        del definition.properties[:]
        added = self.message.classes.add()
        added.CopyFrom(definition)
        for item in declared:
            self._add_property(added, item)
        self.message.classes.sort(key=lambda found: found.name)
        # Sorting moves messages about; references to them do not follow.
        self.classes = {found.name.lower(): found for found in self.message.classes}

    def _cluster_for(self, class_name: str) -> int:
        base = name = class_name.lower()
        number = 0
        while name in self.clusters:
            number += 1
            name = f"{base}_{number}"
        self.create_cluster(Cluster(name=name))
        return self.clusters[name]

    def _check_clusters(self, definition: ClassDefinition) -> None:
        owned = self._owned()
        for number in definition.cluster_ids:
            self._check_free(definition.name, number, owned)
        if len(set(definition.cluster_ids)) < len(definition.cluster_ids):
            raise self.refuse(f"class `{definition.name}` names a cluster twice")
        if not definition.HasField("default_cluster_id"):
            definition.default_cluster_id = definition.cluster_ids[0]
        elif definition.default_cluster_id not in definition.cluster_ids:
            raise self.refuse(
                f"the default cluster {definition.default_cluster_id} is none of class `{definition.name}`"
            )

    def _check_free(self, class_name: str, number: int, owned: dict[int, str]) -> None:
        if number not in self.ids:
            raise self.refuse(f"class `{class_name}` names cluster {number}, which does not exist")
        if number in owned:
            raise self.refuse(f"cluster {number} belongs to class `{owned[number]}` already")
        if any(cluster.importing for cluster in self.message.clusters if cluster.id == number):
            raise self.refuse(f"cluster {number} is being filled by an import, and class `{class_name}` cannot have it")

    def _owned(self) -> dict[int, str]:
        return {number: owner.name for owner in self.message.classes for number in owner.cluster_ids}

    def drop_class(self, name: str) -> None:
        definition = self._class(name)
        below = [c.name for c in self.message.classes if definition.name.lower() in map(str.lower, c.super_classes)]
        if below:
            raise self.refuse(f"class `{definition.name}` has sub-classes: {', '.join(below)}; drop those first")
        for index in [index.name for index in self.message.indexes if index.class_name == definition.name]:
            self.drop_index(index)
        for number in list(definition.cluster_ids):
            self._remove_cluster(number)
        self.message.classes.remove(definition)
        self.classes = {found.name.lower(): found for found in self.message.classes}

    # --- properties

    def create_property(self, change: CreateProperty) -> None:
        self._add_property(self._class(change.class_name), change.property)

    def _add_property(self, definition: ClassDefinition, given: PropertyDefinition) -> None:
        name = self._name("property", given.name)
        if name.startswith("@"):
            raise self.refuse(f"`{name}` is not a name for a property: `@` begins OrientDB's own")
        if any(found.name == name for found in definition.properties):
            raise self.refuse(f"class `{definition.name}` has a property `{name}` already")
        if given.type.upper() not in PROPERTY_TYPES:
            raise self.refuse(f"property `{name}`: there is no type `{given.type}`")
        # Bounds of an import may be in a form that only OrientDB reads: kept for its export, not checked here.
        if not self.importing:
            problem = bound_problem(given)
            if problem:
                raise self.refuse(f"property `{name}`: {problem}")
        definition.properties.append(given)

    def drop_property(self, change: DropProperty) -> None:
        definition = self._class(change.class_name)
        at = next((i for i, found in enumerate(definition.properties) if found.name == change.name), None)
        if at is None:
            raise self.refuse(f"class `{definition.name}` has no property `{change.name}`")
        used = [
            index.name
            for index in self.message.indexes
            if index.class_name == definition.name and any(part.name == change.name for part in index.fields)
        ]
        if used:
            raise self.refuse(f"property `{change.name}` is used by the indexes {', '.join(used)}; drop those first")
        del definition.properties[at]

    # --- indexes

    def create_index(self, given: IndexDefinition) -> None:
        name = self._name("index", given.name)
        if any(found.name == name for found in self.message.indexes):
            raise self.refuse(f"there is an index `{name}` already")
        index = IndexDefinition()
        index.CopyFrom(given)
        base = index.type.upper().removesuffix("_HASH_INDEX")
        lucene = index.algorithm.upper() == "LUCENE"
        index.maintained = base in _MAINTAINED and bool(index.class_name) and bool(index.fields) and not lucene
        if index.class_name:
            index.class_name = self._class(index.class_name).name
        if index.maintained:
            for part in index.fields:
                complete(part, self._declared(index.class_name, part.name))
        elif not self.importing:
            raise self.refuse(f"an index of type `{index.type}` without a class and fields cannot be kept up to date")
        index.id = self.result.next_index
        self.result.next_index += 1
        self.message.indexes.append(index)
        self.message.indexes.sort(key=lambda found: found.name)
        self.result.created_indexes.append(index.id)

    def _declared(self, class_name: str, name: str) -> PropertyDefinition | None:
        seen: set[str] = set()
        level = [class_name.lower()]
        while level:
            current = level.pop(0)
            definition = self.classes.get(current)
            if definition is None or current in seen:
                continue
            seen.add(current)
            for declared in definition.properties:
                if declared.name == name:
                    return declared
            level.extend(map(str.lower, definition.super_classes))
        return None

    def drop_index(self, name: str) -> None:
        at = next((i for i, found in enumerate(self.message.indexes) if found.name == name), None)
        if at is None:
            raise self.refuse(f"there is no index `{name}`")
        number = self.message.indexes[at].id
        del self.message.indexes[at]
        if number in self.result.created_indexes:
            self.result.created_indexes.remove(number)
        else:
            self.result.dropped_indexes.append(number)

    # --- changes of what is there

    def alter_class(self, change: AlterClass) -> None:
        definition = self._class(change.definition.name)
        altered = alterations.altered_class(definition, change.definition)
        if altered.abstract and altered.cluster_ids:
            raise self.refuse(f"class `{altered.name}` has clusters and cannot become abstract")
        # Its own clusters are free for it.
        del definition.cluster_ids[:]
        if not altered.abstract:
            if not altered.cluster_ids:
                altered.cluster_ids.append(self._cluster_for(altered.name))
            self._check_clusters(altered)
        definition.CopyFrom(altered)

    def alter_property(self, change: AlterProperty) -> None:
        definition, given = self._class(change.class_name), change.property
        problem = alterations.property_problem(self.message, definition, given)
        if problem:
            raise self.refuse(problem)
        next(found for found in definition.properties if found.name == given.name).CopyFrom(given)

    def alter_cluster(self, change: AlterCluster) -> None:
        number = self.clusters.get(change.name.lower())
        if number is None:
            raise self.refuse(f"there is no cluster `{change.name}`")
        name = self._name("cluster", change.new_name)
        if self.clusters.get(name.lower(), number) != number:
            raise self.refuse(f"there is a cluster `{name}` already")
        del self.clusters[change.name.lower()]
        self.clusters[name.lower()] = number
        next(found for found in self.message.clusters if found.id == number).name = name

    # --- the rest

    def preserve(self, change: PreserveSection) -> None:
        if change.json:
            self.message.preserved[change.section] = change.json
        elif change.section in self.message.preserved:
            del self.message.preserved[change.section]

    def check(self) -> None:
        """Check what may be right only after the last change: an export lists a class before its super-class."""
        problem = super_class_problem(self.classes)
        if problem:
            raise self.refuse(problem)

    def _class(self, name: str) -> ClassDefinition:
        found = self.classes.get(name.lower())
        if found is None:
            raise UnknownClass(class_name=name, database=self.message.name)
        return found

    def _name(self, what: str, name: str) -> str:
        if not name or len(name.encode()) > _NAME_BYTES or name != name.strip() or not name.isprintable():
            raise self.refuse(f"`{name}` is not a name for a {what}")
        return name
