"""The parts of an export around its records, in the form that OrientDB 3.2 takes whole.

Sections, keys and their order are what the engine's own importer asks for; it stumbles over most other orders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from quiesce.orientdb.escapes import ascii_json
from quiesce.orientdb.index_section import ExportedIndex, index_document, parse_indexes
from quiesce.v1.database_pb2 import ClassDefinition, Cluster, Database, IndexDefinition, PropertyDefinition

EXPORTER_VERSION = 13
ENGINE_VERSION = "3.2.34"
STORAGE_CONFIG_VERSION = 23
SCHEMA_VERSION = 4

# The engine's importer ends without the records of the schema and the index manager, whatever is in them.
STUBS: dict[tuple[int, int], bytes] = {
    (0, 0): b'{"@type":"b","@rid":"#0:0","@version":1,"value":"AAAAAA=="}',
    (0, 1): b'{"@type":"d","@rid":"#0:1","@version":1}',
    (0, 2): b'{"@type":"d","@rid":"#0:2","@version":1}',
}

# Sections of Database.preserved that have a place of their own in an export; the others travel in `info`.
_OWN_PLACE = frozenset({"schema", "indexes", "manualIndexes", "flatRecords"})


def _json(value: Any) -> bytes:
    return ascii_json(msgspec.json.encode(value))


def opening(database: Database) -> bytes:
    """Return everything up to the first record."""
    clusters = contiguous(database)
    parts = [
        b'{"info":' + _json(_info(database)),
        b'"clusters":' + _json([{"name": one.name, "id": one.id} for one in clusters]),
        b'"schema":' + _json(_schema(database)),
        b'"records":[',
    ]
    return b",".join(parts)


def closing(database: Database) -> bytes:
    """Return everything behind the last record."""
    parts = [b'],"brokenRids":[]', b'"indexes":' + _json(list(_indexes(database)))]
    manual = database.preserved.get("manualIndexes")
    if manual:
        parts.append(b'"manualIndexes":' + ascii_json(manual))
    return b",".join(parts) + b"}"


def flat_records(database: Database) -> frozenset[str]:
    """Return the ids of records that were ORecordFlat where they came from."""
    return frozenset(msgspec.json.decode(database.preserved.get("flatRecords", b"[]"), type=list[str]))


def contiguous(database: Database) -> list[Cluster]:
    """Return the clusters from 0 up without a gap: OrientDB keeps record ids only so. Fillers are named `gap_N`."""
    known = {one.id: one for one in database.clusters}
    taken = {one.name for one in database.clusters}
    filler = {0: "internal", 1: "index", 2: "manindex"}
    clusters = []
    for cluster in range(max(known, default=-1) + 1):
        if cluster in known:
            clusters.append(known[cluster])
            continue
        name = filler.get(cluster, f"gap_{cluster}")
        clusters.append(Cluster(id=cluster, name=name if name not in taken else f"gap_{cluster}"))
    return clusters


def _info(database: Database) -> dict[str, Any]:
    default = next((one.id for one in database.clusters if one.name == "default"), -1)
    return {
        "name": database.name,
        "default-cluster-id": default,
        "exporter-version": EXPORTER_VERSION,
        "engine-version": ENGINE_VERSION,
        "storage-config-version": STORAGE_CONFIG_VERSION,
        "schema-version": SCHEMA_VERSION,
        "schemaRecordId": "#0:1",
        "indexMgrRecordId": "#0:2",
        # OrientDB passes over a key of `info` that it does not know.
        "quiesce": {
            "preserved": {
                name: msgspec.Raw(text) for name, text in sorted(database.preserved.items()) if name not in _OWN_PLACE
            }
        },
    }


def _schema(database: Database) -> dict[str, Any]:
    kept = msgspec.json.decode(database.preserved.get("schema", b"{}"))
    section = kept.get("section", {})
    unknown: Mapping[str, Mapping[str, Any]] = kept.get("unknown", {})
    schema = {"version": section.pop("version", 1), "blob-clusters": section.pop("blob-clusters", [])}
    classes = [_class(one, unknown) for one in sorted(database.classes, key=lambda one: one.name)]
    # A key that OrientDB's importer does not know here would end the import.
    return schema | {"classes": classes}


def _class(one: ClassDefinition, unknown: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    has_default = one.HasField("default_cluster_id")
    fields: dict[str, Any] = {
        "name": one.name,
        "default-cluster-id": one.default_cluster_id if has_default else -1,
        "cluster-ids": list(one.cluster_ids) or [-1],
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


def _indexes(database: Database) -> Iterator[Any]:
    classes = {one.name: one for one in database.classes}
    clusters = {one.id: one for one in database.clusters}
    kept = msgspec.json.decode(database.preserved.get("indexes", b"{}"), type=dict[str, msgspec.Raw])
    for index in sorted(database.indexes, key=lambda one: one.name):
        raw = kept.get(index.name)
        if raw is not None and _still(index, parse_indexes(b"[" + bytes(raw) + b"]")[0]):
            yield raw
        elif index.fields:
            yield index_document(index, classes, clusters)


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
