"""The parts of an export around its records, in the form that an engine takes whole.

Sections, keys and their order are what the engine's own importer asks for; it stumbles over most other orders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from quiesce.orientdb.cluster_ids import ClusterIds, new_ids
from quiesce.orientdb.escapes import ascii_json
from quiesce.orientdb.export_options import ExportOptions
from quiesce.orientdb.export_selection import select
from quiesce.orientdb.index_section import ExportedIndex, index_document, parse_indexes
from quiesce.orientdb.security import has_security, with_security
from quiesce.v1.database_pb2 import ClassDefinition, Cluster, Database, IndexDefinition, PropertyDefinition

SCHEMA_VERSION = 4

# The engine's importer ends without the records of the schema and the index manager, whatever is in them.
STUBS: dict[tuple[int, int], bytes] = {
    (0, 0): b'{"@type":"b","@rid":"#0:0","@version":1,"value":"AAAAAA=="}',
    (0, 1): b'{"@type":"d","@rid":"#0:1","@version":1}',
    (0, 2): b'{"@type":"d","@rid":"#0:2","@version":1}',
}

# Sections of Database.preserved that have a place of their own in an export; the others travel in `info`.
_OWN_PLACE = frozenset({"schema", "indexes", "manualIndexes", "flatRecords"})
# Those that every database of OrientDB has, under these ids.
_DEFAULT = 3
_FILLERS = {0: "internal", 1: "index", 2: "manindex", _DEFAULT: "default"}


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What an export is going to write."""

    database: str
    file: Path
    options: ExportOptions
    # The clusters of the file, in the order in which their records come: id in the file, name, records to be written.
    clusters: tuple[tuple[int, str, int], ...]
    classes: int
    indexes: tuple[str, ...]
    # Manual indexes and how many entries they have.
    manual_indexes: tuple[tuple[str, int], ...]

    @property
    def records(self) -> int:
        """How many records will be written, without OrientDB's own."""
        return sum(records for _, _, records in self.clusters)


class Layout:
    """One database in the form that the options choose.

    Raises (the constructor): UnknownClass, UnknownRecordCluster.
    """

    def __init__(self, database: Database, options: ExportOptions) -> None:
        # Records of users and roles that the database has not: cluster, position, body.
        self.added: tuple[tuple[int, int, bytes], ...] = ()
        if options.security and not has_security(database):
            secured = with_security(database, options.engine, options.admin_password)
            database, self.added = secured.database, secured.records
        self._database = database
        self._options = options
        self.selection = select(database, options)
        self.ids = ClusterIds(new_ids(database.clusters, options.engine), database.classes)
        kept = [one for one in database.clusters if one.id in self.selection.clusters]
        self._clusters = [_moved(one, self.ids) for one in kept]
        # Whether a scan of the database gives records that are not wanted.
        self.filtering = any(one.id not in self.selection.record_clusters for one in database.clusters)
        flat = msgspec.json.decode(database.preserved.get("flatRecords", b"[]"), type=list[str])
        # Ids of records that were ORecordFlat where they came from.
        self.flat = frozenset(flat)

    def plan(self, file: Path) -> ExportPlan:
        """Return what will be written."""
        options, chosen = self._options, self.selection
        ordered = sorted(self._database.clusters, key=lambda one: one.id)
        counted = [one for one in ordered if one.id in chosen.clusters and options.clusters]
        manual = self._manual() if options.indexes and options.manual_indexes else []
        return ExportPlan(
            database=self._database.name,
            file=file,
            options=options,
            clusters=tuple((self.ids.of(one.id), one.name, self._expected(one)) for one in counted),
            classes=len(chosen.classes) if options.schema else 0,
            indexes=tuple(sorted(one.name for one in chosen.indexes)) if options.indexes else (),
            manual_indexes=tuple((str(one.get("name", "")), len(one.get("content", []))) for one in manual),
        )

    @property
    def names(self) -> dict[int, str]:
        """Return the names of the clusters of the file by their ids in the database, in the order of these."""
        kept = (one for one in self._database.clusters if one.id in self.selection.clusters)
        return {one.id: one.name for one in sorted(kept, key=lambda one: one.id)}

    def _expected(self, one: Cluster) -> int:
        return one.records if self._options.records and one.id in self.selection.record_clusters else 0

    def _manual(self) -> list[dict[str, Any]]:
        return msgspec.json.decode(self._database.preserved.get("manualIndexes", b"[]"), type=list[dict[str, Any]])

    def _users(self) -> set[int]:
        kept = (one for one in self.selection.classes if one.name.lower() == "ouser")
        return {cluster for one in kept for cluster in one.cluster_ids}

    @property
    def notes(self) -> list[str]:
        """Return what the user of the file should know."""
        engine = self._options.engine
        notes = []
        if self.ids.ids:
            moved = ", ".join(f"{old} is {new}" for old, new in sorted(self.ids.ids.items()))
            notes.append(f"OrientDB {engine.version} keeps clusters 4 and 5 to itself, so in the file cluster {moved}")
        if self._options.records and not any(one.records for one in self._database.clusters if one.id in self._users()):
            notes.append("the file has no users: whoever imports it without -merge=true needs the server's root user")
        return notes

    @property
    def clusters(self) -> list[Cluster]:
        """Return the clusters from 0 up without a gap: OrientDB keeps record ids only so. Fillers are named `gap_N`."""
        known = {one.id: one for one in self._clusters}
        taken = {one.name for one in self._clusters}
        fixed = {target: name for name, target in self._options.engine.fixed_clusters}
        clusters = []
        for cluster in range(max(known, default=-1) + 1):
            name = (_FILLERS | fixed).get(cluster, f"gap_{cluster}")
            filler = Cluster(id=cluster, name=name if name not in taken else f"gap_{cluster}")
            clusters.append(known.get(cluster, filler))
        return clusters

    def _fills_default(self) -> bool:
        given = {one.id for one in self._clusters}
        return _DEFAULT not in given and any(one.name == _FILLERS[_DEFAULT] for one in self.clusters)

    def opening(self) -> bytes:
        """Return everything up to the first record."""
        parts = []
        if self._options.info:
            parts.append(b'"info":' + _json(self._info()))
        if self._options.clusters:
            parts.append(b'"clusters":' + _json([{"name": one.name, "id": one.id} for one in self.clusters]))
        if self._options.schema:
            parts.append(b'"schema":' + _json(self._schema()))
        if self._options.records:
            parts.append(b'"records":[')
        return b"{" + b",".join(parts)

    def closing(self) -> bytes:
        """Return everything behind the last record."""
        before = self._options.info or self._options.clusters or self._options.schema
        parts = [b'],"brokenRids":[]'] if self._options.records else [b""] if before else []
        if self._options.indexes:
            parts.append(b'"indexes":' + _json(list(self._indexes())))
            manual = self._database.preserved.get("manualIndexes")
            # Without the definitions OrientDB's importer fails at their content.
            if manual and self._options.manual_indexes:
                parts.append(b'"manualIndexes":' + ascii_json(self.ids.everywhere(manual)))
        return b",".join(parts) + b"}"

    def _info(self) -> dict[str, Any]:
        database, engine = self._database, self._options.engine
        default = next((one.id for one in database.clusters if one.name == "default"), -1)
        return {
            "name": database.name,
            "default-cluster-id": self.ids.of(default),
            "exporter-version": engine.exporter_version,
            "engine-version": engine.release,
            "storage-config-version": engine.storage_config_version,
            "schema-version": SCHEMA_VERSION,
            "schemaRecordId": "#0:1",
            "indexMgrRecordId": "#0:2",
            # OrientDB passes over a key of `info` that it does not know.
            "quiesce": {
                # Not told from a real one by its name, as `gap_N` is.
                **({"fillers": [_DEFAULT]} if self._fills_default() else {}),
                "preserved": {
                    name: msgspec.Raw(text)
                    for name, text in sorted(database.preserved.items())
                    if name not in _OWN_PLACE
                },
            },
        }

    def _schema(self) -> dict[str, Any]:
        kept = msgspec.json.decode(self._database.preserved.get("schema", b"{}"))
        section = kept.get("section", {})
        unknown: Mapping[str, Mapping[str, Any]] = kept.get("unknown", {})
        blobs = [cluster for cluster in section.pop("blob-clusters", []) if cluster in self.selection.clusters]
        schema = {"version": section.pop("version", 1), "blob-clusters": [self.ids.of(one) for one in blobs]}
        classes = sorted(self.selection.classes, key=lambda one: one.name)
        # A key that OrientDB's importer does not know here would end the import.
        return schema | {"classes": [_class(one, unknown, self.ids) for one in classes]}

    def _indexes(self) -> Iterator[Any]:
        classes = {one.name: one for one in self.selection.classes}
        clusters = {one.id: one for one in self._database.clusters}
        kept = msgspec.json.decode(self._database.preserved.get("indexes", b"{}"), type=dict[str, msgspec.Raw])
        algorithms = dict(self._options.engine.algorithms)
        names = set(self.names.values())
        for index in sorted(self.selection.indexes, key=lambda one: one.name):
            raw = kept.get(index.name)
            document: dict[str, Any]
            if raw is not None and _still(index, parse_indexes(b"[" + bytes(raw) + b"]")[0]):
                document = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            elif index.fields:
                document = index_document(index, classes, clusters)
            else:
                continue
            algorithm = _decoded(document.get("algorithm"))
            if algorithm in algorithms:
                document["algorithm"] = algorithms[algorithm]
            # Of an index that is kept as it came; a cluster that the file does not hold would end OrientDB's import.
            covered = _decoded(document.get("clustersToIndex", []))
            if not names.issuperset(covered):
                document["clustersToIndex"] = [name for name in covered if name in names]
            yield document


def _json(value: Any) -> bytes:
    return ascii_json(msgspec.json.encode(value))


def _decoded(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value


def _moved(one: Cluster, ids: ClusterIds) -> Cluster:
    return Cluster(id=ids.of(one.id), name=one.name)


def _class(one: ClassDefinition, unknown: Mapping[str, Mapping[str, Any]], ids: ClusterIds) -> dict[str, Any]:
    has_default = one.HasField("default_cluster_id")
    fields: dict[str, Any] = {
        "name": one.name,
        "default-cluster-id": ids.of(one.default_cluster_id) if has_default else -1,
        "cluster-ids": [ids.of(cluster) for cluster in one.cluster_ids] or [-1],
    }
    if one.oversize > 1:
        fields["oversize"] = one.oversize
    if one.strict_mode:
        fields["strictMode"] = True
    if one.super_classes:
        fields["super-classes"] = list(one.super_classes)
    if one.short_name:
        fields["short-name"] = one.short_name
    if one.abstract:
        fields["abstract"] = True
    fields["cluster-selection"] = one.cluster_selection or "round-robin"
    if one.properties:
        fields["properties"] = [_property(prop, unknown.get(f"{one.name}.{prop.name}", {})) for prop in one.properties]
    if one.custom_fields:
        fields["customFields"] = dict(sorted(one.custom_fields.items()))
    return fields | dict(unknown.get(one.name, {}))


def _property(one: PropertyDefinition, unknown: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": one.name, "type": one.type}
    fields |= {
        key: True
        for key, value in (("mandatory", one.mandatory), ("readonly", one.read_only), ("not-null", one.not_null))
        if value
    }
    if one.linked_class:
        fields["linked-class"] = one.linked_class
    if one.linked_type:
        fields["linked-type"] = one.linked_type
    for key in ("min", "max"):
        if one.HasField(key):
            fields[key] = getattr(one, key)
    fields["collate"] = one.collate or "default"
    if one.HasField("default_value"):
        fields["default-value"] = one.default_value
    if one.HasField("regexp"):
        fields["regexp"] = one.regexp
    if one.custom_fields:
        fields["customFields"] = dict(sorted(one.custom_fields.items()))
    return fields | dict(unknown)


def _still(index: IndexDefinition, was: ExportedIndex) -> bool:
    """Whether an index is still the one that was imported, and not another of the same name."""
    before = IndexDefinition()
    before.CopyFrom(was.definition)
    before.id = index.id
    before.class_name = index.class_name
    if len(before.fields) == len(index.fields):
        for one, now in zip(before.fields, index.fields, strict=True):
            # The store fills in what old definitions leave open.
            one.collate = one.collate or now.collate
            one.key_type = now.key_type if now.key_type == "ANY" else one.key_type
    return bool(before == index) and was.definition.class_name.lower() == index.class_name.lower()
