"""What of a database goes into an export: so much that the file can be imported by itself.

OrientDB leaves out what its filters name and no more: the super-classes of an included class, the clusters of a class, the
users. Its importer then refuses the file. Here a class brings along what it extends and links to, though not their
records, and every class its clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from quiesce.errors import UnknownClass, UnknownRecordCluster
from quiesce.orientdb.export_options import ExportOptions
from quiesce.v1.database_pb2 import ClassDefinition, Database, IndexDefinition

# Who may log in, and what they may do; without their records nobody can, after OrientDB's import.
SECURITY_CLASSES: Final = frozenset({"oidentity", "orole", "osecuritypolicy", "ouser"})
# Of OrientDB itself: an import makes them anew, and links to them are none of the user's.
ENGINE_CLUSTERS: Final = frozenset({"internal", "index", "manindex"})


@dataclass(frozen=True, slots=True)
class Selection:
    """What is written of a database."""

    classes: tuple[ClassDefinition, ...]
    # Ids of the clusters that are in the file, with or without records.
    clusters: frozenset[int]
    # Ids of those whose records are.
    record_clusters: frozenset[int]
    indexes: tuple[IndexDefinition, ...]

    @property
    def everything(self) -> bool:
        """Whether no record is left out."""
        return self.clusters == self.record_clusters


def select(database: Database, options: ExportOptions) -> Selection:
    """Return what the options choose.

    Raises:
        UnknownClass, UnknownRecordCluster: the database has none of a name that is given.
    """
    classes = {one.name.lower(): one for one in database.classes}
    owners = {cluster: one.name.lower() for one in database.classes for cluster in one.cluster_ids}
    _check_names(database, options, classes)
    if options.security is False:
        classes = _without_security(classes)
    with_records = {name for name in classes if _wants_class(name, options)}
    security = frozenset() if options.security is False else SECURITY_CLASSES
    record_clusters = set()
    for one in database.clusters:
        owner = owners.get(one.id)
        if owner in security or one.name.lower() in ENGINE_CLUSTERS:
            record_clusters.add(one.id)
        elif owner in with_records or (owner is None and options.include_classes is None):
            if _wants_cluster(one.name.lower(), options):
                record_clusters.add(one.id)
    kept = _closure(with_records | (security & classes.keys()), classes)
    definitions = tuple(one for one in database.classes if one.name.lower() in kept)
    owned = {cluster for one in definitions for cluster in one.cluster_ids}
    # A database of OrientDB has these in any case; under another name the file's would be in their way.
    owned |= {cluster for cluster, owner in owners.items() if owner in SECURITY_CLASSES}
    return Selection(
        classes=definitions,
        clusters=frozenset(record_clusters | owned),
        record_clusters=frozenset(record_clusters),
        indexes=tuple(one for one in database.indexes if not one.class_name or one.class_name.lower() in kept),
    )


def _check_names(database: Database, options: ExportOptions, classes: Mapping[str, ClassDefinition]) -> None:
    for name in sorted((options.include_classes or frozenset()) | options.exclude_classes):
        if name not in classes:
            raise UnknownClass(class_name=name, database=database.name)
    known = {one.name.lower() for one in database.clusters}
    for name in sorted((options.include_clusters or frozenset()) | options.exclude_clusters):
        if name not in known:
            raise UnknownRecordCluster(cluster=name, database=database.name)


def _wants_class(name: str, options: ExportOptions) -> bool:
    chosen = options.include_classes is None or name in options.include_classes
    return chosen and name not in options.exclude_classes


def _wants_cluster(name: str, options: ExportOptions) -> bool:
    chosen = options.include_clusters is None or name in options.include_clusters
    return chosen and name not in options.exclude_clusters


def _without_security(classes: Mapping[str, ClassDefinition]) -> dict[str, ClassDefinition]:
    """Leave out the classes of users and roles, but for those that a class of the user's own needs."""
    own = _closure(classes.keys() - SECURITY_CLASSES, classes)
    return {name: one for name, one in classes.items() if name in own}


def _closure(names: Iterable[str], classes: Mapping[str, ClassDefinition]) -> set[str]:
    """Return the classes with all that they extend or link to."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        one = classes.get(name)
        if one is None or name in found:
            continue
        found.add(name)
        waiting += [other.lower() for other in one.super_classes]
        waiting += [prop.linked_class.lower() for prop in one.properties if prop.linked_class]
    return found
