"""The sections `indexes` and `manualIndexes`: from an export's text to definitions, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from quiesce.orientdb.schema_section import NotASection
from quiesce.v1.database_pb2 import ClassDefinition, Cluster, IndexDefinition, IndexField

_PREFIX = "com.orientechnologies.orient.core.index."
_ONE = f"{_PREFIX}OPropertyIndexDefinition"
_LIST = f"{_PREFIX}OPropertyListIndexDefinition"
_MAP = f"{_PREFIX}OPropertyMapIndexDefinition"
_BAG = f"{_PREFIX}OPropertyRidBagIndexDefinition"
_COMPOSITE = f"{_PREFIX}OCompositeIndexDefinition"

_MAINTAINED = frozenset(
    f"{kind}{suffix}" for kind in ("UNIQUE", "NOTUNIQUE", "DICTIONARY") for suffix in ("", "_HASH_INDEX")
)


class _Stream(msgspec.Struct):
    class_name: str = msgspec.field(name="className", default="")
    field: str = ""
    key_type: str | None = msgspec.field(name="keyType", default=None)
    collate: str | None = None
    nulls_ignored: bool = msgspec.field(name="nullValuesIgnored", default=False)
    by: str | None = msgspec.field(name="mapIndexBy", default=None)
    parts: list[_Stream] = msgspec.field(name="indexDefinitions", default_factory=list)
    kinds: list[str] = msgspec.field(name="indClasses", default_factory=list)


class _Definition(msgspec.Struct):
    kind: str = msgspec.field(name="defClass", default="")
    stream: _Stream | None = None


class _Index(msgspec.Struct):
    name: str
    type: str
    algorithm: str | None = None
    definition: _Definition | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"")


@dataclass(frozen=True, slots=True)
class ExportedIndex:
    """An index of an export: its definition, and its own text for the way back."""

    definition: IndexDefinition
    raw: bytes


def parse_indexes(text: bytes) -> list[ExportedIndex]:
    """Return the indexes. Raises NotASection."""
    try:
        # The decoder does not look into strings of what it leaves raw.
        text.decode()
        return [_index(bytes(raw)) for raw in msgspec.json.decode(text, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise NotASection(str(error)) from error


def _index(raw: bytes) -> ExportedIndex:
    index = msgspec.json.decode(raw, type=_Index)
    stream = index.definition.stream if index.definition else None
    fields = _fields(index.definition.kind, stream) if index.definition and stream else []
    maintained = index.type in _MAINTAINED and index.algorithm != "LUCENE" and bool(fields)
    definition = IndexDefinition(
        name=index.name,
        type=index.type,
        algorithm=index.algorithm or "",
        class_name=stream.class_name if stream else "",
        fields=fields,
        nulls_ignored=bool(stream and stream.nulls_ignored),
        maintained=maintained,
        metadata=b"" if bytes(index.metadata) in (b"", b"null") else compact(bytes(index.metadata)),
    )
    return ExportedIndex(definition, compact(raw))


def compact(text: bytes) -> bytes:
    """Return JSON text without white space outside its strings."""
    return msgspec.json.format(text, indent=-1)


def _fields(kind: str, stream: _Stream) -> list[IndexField]:
    """Return an index's fields; none where its definition is of a kind that Quiesce does not keep up."""
    if kind == _COMPOSITE:
        if len(stream.kinds) != len(stream.parts):
            raise NotASection("indClasses and indexDefinitions of a composite index differ in length")
        parts = [_fields(*one) for one in zip(stream.kinds, stream.parts, strict=True)]
        return [field for part in parts for field in part] if all(parts) else []
    if kind == _ONE:
        by = IndexField.BY_VALUE
    elif kind in (_LIST, _BAG):
        by = IndexField.BY_ITEM
    elif kind == _MAP:
        by = IndexField.BY_ITEM if stream.by == "VALUE" else IndexField.BY_MAP_KEY
    else:
        return []
    return [
        IndexField(
            name=stream.field,
            key_type=stream.key_type or ("LINK" if kind == _BAG else "STRING"),
            collate=stream.collate or "",
            by=by,
            nulls_ignored=stream.nulls_ignored,
        )
    ]


def index_document(
    index: IndexDefinition, classes: Mapping[str, ClassDefinition], clusters: Mapping[int, Cluster]
) -> dict[str, Any]:
    """Return an index as an export of engine 3.2 has it."""
    if len(index.fields) == 1:
        kind, stream = _part(index, index.fields[0], classes)
    else:
        parts = [_part(index, field, classes) for field in index.fields]
        kind = _COMPOSITE
        stream = {
            "@type": "d",
            "@version": 0,
            "className": index.class_name,
            "indexDefinitions": [part for _, part in parts],
            "indClasses": [name for name, _ in parts],
            "nullValuesIgnored": index.nulls_ignored,
        }
    document: dict[str, Any] = {
        "name": index.name,
        "type": index.type,
        "algorithm": index.algorithm or ("HASH_INDEX" if index.type.endswith("HASH_INDEX") else "CELL_BTREE"),
        "clustersToIndex": _cluster_names(index.class_name, classes, clusters),
        "definition": {"defClass": kind, "stream": stream},
    }
    if index.metadata:
        document["metadata"] = msgspec.Raw(index.metadata)
    return document


def same_index(index: ExportedIndex, classes: Mapping[str, ClassDefinition], clusters: Mapping[int, Cluster]) -> bool:
    """Whether the definition alone gives back an index as it stood in its file."""
    if not index.definition.fields:
        return False
    was = msgspec.json.decode(index.raw)
    now = msgspec.json.decode(msgspec.json.encode(index_document(index.definition, classes, clusters)))
    for one in (was, now):
        # A set, in the order of a hash table.
        one["clustersToIndex"] = sorted(one.get("clustersToIndex", []))
    return bool(was == now)


def _part(
    index: IndexDefinition, field: IndexField, classes: Mapping[str, ClassDefinition]
) -> tuple[str, dict[str, Any]]:
    stream: dict[str, Any] = {
        "@type": "d",
        "@version": 0,
        "className": index.class_name,
        "field": field.name,
        "keyType": field.key_type,
        "collate": field.collate or "default",
        # In a composite the fields have their own word.
        "nullValuesIgnored": field.nulls_ignored if len(index.fields) > 1 else index.nulls_ignored,
    }
    kind = _ONE
    if field.by == IndexField.BY_MAP_KEY:
        kind = _MAP
        stream["mapIndexBy"] = "KEY"
    elif field.by == IndexField.BY_ITEM:
        match _property_type(index.class_name, field.name, classes):
            case "EMBEDDEDMAP" | "LINKMAP":
                kind = _MAP
                stream["mapIndexBy"] = "VALUE"
            case "LINKBAG":
                kind = _BAG
            case "" if field.name.startswith(("out_", "in_")):
                kind = _BAG
            case _:
                kind = _LIST
    return kind, stream


def _property_type(class_name: str, name: str, classes: Mapping[str, ClassDefinition]) -> str:
    """Return the type a property has in a class or one of its super-classes, "" where it is not declared."""
    waiting, seen = [class_name], set()
    while waiting:
        one = classes.get(waiting.pop(0))
        if one is None or one.name in seen:
            continue
        seen.add(one.name)
        for prop in one.properties:
            if prop.name == name:
                return prop.type
        waiting.extend(one.super_classes)
    return ""


def _cluster_names(
    class_name: str, classes: Mapping[str, ClassDefinition], clusters: Mapping[int, Cluster]
) -> list[str]:
    """Return the names of the clusters of a class and its sub-classes, in the order of their ids."""
    family = {class_name}
    growing = True
    while growing:
        more = {one.name for one in classes.values() if one.name not in family and family & set(one.super_classes)}
        family |= more
        growing = bool(more)
    ids = {cluster for name in family if name in classes for cluster in classes[name].cluster_ids}
    return [clusters[cluster].name for cluster in sorted(ids) if cluster in clusters]
