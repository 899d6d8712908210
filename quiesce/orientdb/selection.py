"""Which classes and clusters of an export are imported."""

from __future__ import annotations

from collections.abc import Iterable

from quiesce.errors import InvalidRequest
from quiesce.orientdb.options import ImportOptions
from quiesce.orientdb.survey import Survey
from quiesce.v1.database_pb2 import ClassDefinition


def select(found: Survey, options: ImportOptions) -> None:
    """Leave out of a survey what the options leave out; links to that count as dangling.

    A record goes with its cluster, and a cluster with the class that owns it. Super-classes of an included class are
    included without their records, as are excluded classes that others extend.

    Raises:
        InvalidRequest: an option names what the file does not hold.
    """
    _check_names(options.include_classes, (one.name for one in found.schema.classes), "class")
    _check_names(options.include_clusters, (one.name for one in found.clusters), "cluster")
    classes = {one.name for one in found.schema.classes if _wanted(one.name, options, by_class=True)}
    owners = {cluster: one.name for one in found.schema.classes for cluster in one.cluster_ids}

    def with_records(cluster: int, name: str) -> bool:
        owner = owners.get(cluster)
        by_class = owner in classes if owner is not None else options.include_classes is None
        return options.include_records and by_class and _wanted(name, options, by_class=False)

    left_out = {one.id for one in found.clusters if one.id in found.counts and not with_records(one.id, one.name)}
    records = sum(found.counts.pop(cluster) for cluster in left_out)
    if records:
        found.notes.append(f"{records:,} records were left out, as the options say")
    chosen = bool(options.include_clusters or options.exclude_clusters)
    if chosen or len(classes) < len(found.schema.classes):
        _keep_definitions(found, classes, left_out)
    elif not options.include_records:
        # The clusters stay, as the classes name them.
        found.counts |= dict.fromkeys(left_out, 0)
        found.hidden |= left_out
    if not options.include_indexes:
        found.indexes = []
    if not options.include_manual_indexes:
        found.preserved.pop("manualIndexes", None)


def _check_names(asked: Iterable[str] | None, there: Iterable[str], what: str) -> None:
    known = {name.lower() for name in there}
    missing = sorted(name for name in asked or () if name.lower() not in known)
    if missing:
        raise InvalidRequest(detail=f"the file holds no {what} `{', '.join(missing)}`")


def _wanted(name: str, options: ImportOptions, *, by_class: bool) -> bool:
    include = options.include_classes if by_class else options.include_clusters
    exclude = options.exclude_classes if by_class else options.exclude_clusters
    lower = name.lower()
    return (include is None or lower in map(str.lower, include)) and lower not in map(str.lower, exclude)


def _keep_definitions(found: Survey, classes: set[str], left_out: set[int]) -> None:
    kept = _with_super_classes(found.schema.classes, classes)
    extra = sorted(kept - classes)
    if extra:
        found.notes.append(f"classes that others extend came in without their records: {', '.join(extra)}")
    definitions = []
    for one in found.schema.classes:
        if one.name not in kept:
            continue
        definition = ClassDefinition()
        definition.CopyFrom(one)
        if one.name in classes:
            rest = [cluster for cluster in one.cluster_ids if cluster not in left_out]
            # Its last cluster stays, empty: a class without one gets another id, which could be a left out one.
            _set_clusters(definition, rest or list(one.cluster_ids[:1]))
        else:
            _set_clusters(definition, list(one.cluster_ids[:1]))
        definitions.append(definition)
    found.schema.classes = definitions
    owned = {cluster for one in definitions for cluster in one.cluster_ids}
    found.counts |= dict.fromkeys(left_out & owned, 0)
    found.hidden |= left_out & owned
    found.clusters = [one for one in found.clusters if one.id not in left_out or one.id in owned]
    found.indexes = [one for one in found.indexes if not one.definition.class_name or one.definition.class_name in kept]


def _set_clusters(definition: ClassDefinition, clusters: list[int]) -> None:
    del definition.cluster_ids[:]
    definition.cluster_ids.extend(clusters)
    if definition.HasField("default_cluster_id") and definition.default_cluster_id not in clusters:
        definition.ClearField("default_cluster_id")
        if clusters:
            definition.default_cluster_id = clusters[0]


def _with_super_classes(definitions: list[ClassDefinition], classes: set[str]) -> set[str]:
    named = {one.name: one for one in definitions}
    kept: set[str] = set()
    waiting = list(classes)
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept.add(name)
            waiting += named[name].super_classes
    return kept
