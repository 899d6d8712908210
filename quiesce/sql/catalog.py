"""A database's definition, asked by name."""

from __future__ import annotations

from functools import cached_property

from quiesce.errors import UnknownClass, UnknownIndex, UnknownRecordCluster
from quiesce.v1.database_pb2 import ClassDefinition, Cluster, Database, IndexDefinition, PropertyDefinition


class Catalog:
    """Classes, properties, clusters and indexes of a database; names of classes and clusters in any case."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._families: dict[str, frozenset[str]] = {}
        self._collates: dict[tuple[str, str], bool] = {}

    @property
    def name(self) -> str:
        """The database's name."""
        return self.database.name

    @cached_property
    def _classes(self) -> dict[str, ClassDefinition]:
        return {definition.name.lower(): definition for definition in self.database.classes}

    @cached_property
    def _clusters(self) -> dict[str, Cluster]:
        named = {cluster.name.lower(): cluster for cluster in self.database.clusters}
        return {**{str(cluster.id): cluster for cluster in self.database.clusters}, **named}

    @cached_property
    def owners(self) -> dict[int, ClassDefinition]:
        """The class that each cluster belongs to, by its id."""
        return {number: definition for definition in self.database.classes for number in definition.cluster_ids}

    def find_class(self, name: str) -> ClassDefinition | None:
        """Return a class, or None."""
        return self._classes.get(name.lower())

    def definition(self, name: str) -> ClassDefinition:
        """Return a class.

        Raises:
            UnknownClass: there is none of that name.
        """
        found = self.find_class(name)
        if found is None:
            raise UnknownClass(class_name=name, database=self.name)
        return found

    def lineage(self, name: str) -> list[ClassDefinition]:
        """Return a class and its super-classes, nearest first; nothing where there is no such class."""
        found: dict[str, ClassDefinition] = {}
        level = [name]
        while level:
            following: list[str] = []
            for one in level:
                definition = self.find_class(one)
                if definition is not None and definition.name not in found:
                    found[definition.name] = definition
                    following.extend(definition.super_classes)
            level = following
        return list(found.values())

    def family(self, class_name: str) -> frozenset[str]:
        """Return a class and its sub-classes, in lower case; nothing where there is no such class."""
        known = self._families.get(class_name.lower())
        if known is None:
            found = {class_name.lower()} & self._classes.keys()
            grown = True
            while grown:
                below = {
                    definition.name.lower()
                    for definition in self.database.classes
                    if any(parent.lower() in found for parent in definition.super_classes)
                }
                grown = not below <= found
                found = found | below
            known = self._families[class_name.lower()] = frozenset(found)
        return known

    def is_a(self, class_name: str, parent: str) -> bool:
        """Return whether a class is another one, or below it."""
        return class_name.lower() in self.family(parent)

    def class_clusters(self, class_name: str) -> list[int]:
        """Return the ids of the clusters of a class and its sub-classes, in order."""
        return sorted(number for name in self.family(class_name) for number in self._classes[name].cluster_ids)

    def find_property(self, class_name: str, name: str) -> PropertyDefinition | None:
        """Return a property of a class or of the nearest super-class that declares it."""
        for definition in self.lineage(class_name):
            for declared in definition.properties:
                if declared.name == name:
                    return declared
        return None

    def ignores_case(self, class_name: str | None, field: str) -> bool:
        """Return whether a property compares without regard to case (collate `ci`)."""
        if class_name is None:
            return False
        known = self._collates.get((class_name, field))
        if known is None:
            declared = self.find_property(class_name, field)
            known = self._collates[class_name, field] = declared is not None and declared.collate == "ci"
        return known

    def find_cluster(self, name: str) -> Cluster | None:
        """Return a cluster by its name or number, or None."""
        return self._clusters.get(name.lower())

    def cluster(self, name: str) -> Cluster:
        """Return a cluster by its name or number.

        Raises:
            UnknownRecordCluster: there is none.
        """
        found = self.find_cluster(name)
        if found is None:
            raise UnknownRecordCluster(cluster=name, database=self.name)
        return found

    def find_index(self, name: str) -> IndexDefinition | None:
        """Return an index by its name in any case, or None."""
        return next((found for found in self.database.indexes if found.name.lower() == name.lower()), None)

    def index(self, name: str) -> IndexDefinition:
        """Return an index.

        Raises:
            UnknownIndex: there is none of that name.
        """
        found = self.find_index(name)
        if found is None:
            raise UnknownIndex(index=name, database=self.name)
        return found

    def records(self, clusters: list[int]) -> int:
        """Return how many records some clusters hold."""
        wanted = set(clusters)
        return sum(cluster.records for cluster in self.database.clusters if cluster.id in wanted)
