"""A database's schema, decoded for the write and read paths: who owns a cluster, what a class inherits.

Immutable: a change makes another one (see schema_changes). Names of classes and clusters are found in any case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from nodes.store.constraints import Constraint, compile_constraints
from quiesce.errors import IndexNotMaintained, UnknownClass, UnknownIndex, UnknownRecordCluster
from quiesce.indexing.body import Reader, reader
from quiesce.indexing.entries import IndexPlan, plan_index
from quiesce.v1.database_pb2 import ClassDefinition, Cluster, Database, DatabaseState, IndexDefinition

IMPORTING = DatabaseState.DATABASE_STATE_IMPORTING


@dataclass(frozen=True, slots=True)
class ClassPlan:
    """What a write into a class has to do."""

    name: str
    abstract: bool
    default_cluster: int | None
    clusters: frozenset[int]
    indexes: tuple[IndexPlan, ...]
    constraints: tuple[Constraint, ...]
    # Reads the fields that indexes and constraints need; None where none do.
    read: Reader | None
    # Where in what `read` returns each field is.
    places: dict[str, int] = field(default_factory=dict)


class DatabaseSchema:
    """One version of a database's definition; `message` must not be changed by anyone."""

    def __init__(self, message: Database) -> None:
        self.message = message
        self.id: int = message.id
        self.name: str = message.name
        self.importing: bool = message.state == IMPORTING
        self.clusters: dict[int, Cluster] = {cluster.id: cluster for cluster in message.clusters}
        self._plans: dict[str, ClassPlan] = {}
        self._cluster_plans: dict[int, ClassPlan | None] = {}

    @cached_property
    def size(self) -> int:
        """Bytes of the definition."""
        return self.message.ByteSize()

    @cached_property
    def classes(self) -> dict[str, ClassDefinition]:
        """Classes by their name in lower case."""
        return {definition.name.lower(): definition for definition in self.message.classes}

    @cached_property
    def owners(self) -> dict[int, ClassDefinition]:
        """The class that each cluster belongs to."""
        return {cluster: definition for definition in self.message.classes for cluster in definition.cluster_ids}

    @cached_property
    def indexes(self) -> dict[str, IndexDefinition]:
        """Indexes by name."""
        return {definition.name: definition for definition in self.message.indexes}

    @cached_property
    def subclasses(self) -> dict[str, list[str]]:
        """Direct sub-classes by the super-class's name, all in lower case."""
        below: dict[str, list[str]] = {}
        for definition in self.message.classes:
            for parent in definition.super_classes:
                below.setdefault(parent.lower(), []).append(definition.name.lower())
        return below

    def definition(self, class_name: str) -> ClassDefinition:
        """Return a class's definition.

        Raises:
            UnknownClass: there is none of that name.
        """
        found = self.classes.get(class_name.lower())
        if found is None:
            raise UnknownClass(class_name=class_name, database=self.name)
        return found

    def lineage(self, class_name: str) -> list[ClassDefinition]:
        """Return a class, then its super-classes, nearest first, each once.

        Raises:
            UnknownClass: it, or one of them, does not exist.
        """
        found: dict[str, ClassDefinition] = {}
        level = [class_name]
        while level:
            following: list[str] = []
            for name in level:
                definition = self.definition(name)
                if definition.name not in found:
                    found[definition.name] = definition
                    following.extend(definition.super_classes)
            level = following
        return list(found.values())

    def family(self, class_name: str) -> set[str]:
        """Return the names, in lower case, of a class and all below it.

        Raises:
            UnknownClass: there is none of that name.
        """
        found: set[str] = set()
        level = [self.definition(class_name).name.lower()]
        while level:
            found.update(level)
            level = [below for name in level for below in self.subclasses.get(name, ()) if below not in found]
        return found

    def class_clusters(self, class_name: str) -> list[int]:
        """Return the ids of the clusters that hold a class's records and its sub-classes', ascending.

        Raises:
            UnknownClass: there is none of that name.
        """
        return sorted({cluster for name in self.family(class_name) for cluster in self.classes[name].cluster_ids})

    def cluster(self, cluster: int) -> Cluster:
        """Return a cluster.

        Raises:
            UnknownRecordCluster: there is none of that id.
        """
        found = self.clusters.get(cluster)
        if found is None:
            raise UnknownRecordCluster(cluster=cluster, database=self.name)
        return found

    def filling(self, cluster: int) -> bool:
        """Whether records come into a cluster with their positions and versions, unseen, from an import."""
        found = self.clusters.get(cluster)
        return self.importing or (found is not None and found.importing)

    def index(self, name: str) -> IndexDefinition:
        """Return an index that can be asked.

        Raises:
            UnknownIndex: there is none of that name.
            IndexNotMaintained: it is only kept as a definition.
        """
        found = self.indexes.get(name)
        if found is None:
            raise UnknownIndex(index=name, database=self.name)
        if not found.maintained:
            raise IndexNotMaintained(index=name, type=found.type)
        return found

    def plan(self, class_name: str) -> ClassPlan:
        """Return what writes into a class have to do; made once and kept.

        Raises:
            UnknownClass: there is none of that name.
        """
        plan = self._plans.get(class_name)
        if plan is None:
            # Spellings of a name are many; only the declared one is kept.
            name = self.definition(class_name).name
            plan = self._plans.get(name)
            if plan is None:
                plan = self._plans[name] = self._make_plan(self.lineage(name))
        return plan

    def cluster_plan(self, cluster: int) -> ClassPlan | None:
        """Return what writes into a cluster have to do, or None where no class owns it.

        What indexes a record is in depends on its cluster alone, as does what a scan of its class finds.

        Raises:
            UnknownRecordCluster: there is none of that id.
        """
        try:
            return self._cluster_plans[cluster]
        except KeyError:
            self.cluster(cluster)
            owner = self.owners.get(cluster)
            plan = self._cluster_plans[cluster] = None if owner is None else self.plan(owner.name)
            return plan

    def _make_plan(self, lineage: list[ClassDefinition]) -> ClassPlan:
        definition = lineage[0]
        names = {ancestor.name.lower() for ancestor in lineage}
        indexes = tuple(
            plan_index(self.id, index)
            for index in sorted(self.message.indexes, key=lambda index: index.id)
            if index.maintained and index.class_name.lower() in names
        )
        constraints = () if self.importing else compile_constraints(lineage)
        wanted = [name for index in indexes for name in index.names] + [check.name for check in constraints]
        places = {name: place for place, name in enumerate(dict.fromkeys(wanted))}
        return ClassPlan(
            name=definition.name,
            abstract=definition.abstract,
            default_cluster=definition.default_cluster_id if definition.HasField("default_cluster_id") else None,
            clusters=frozenset(definition.cluster_ids),
            indexes=indexes,
            constraints=constraints,
            read=reader(list(places)) if places else None,
            places=places,
        )
