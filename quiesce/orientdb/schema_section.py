"""The sections `info`, `clusters` and `schema`: from an export's text to definitions.

Formats: https://orientdb.org/docs/3.2.x/console/Export-Format.html, and what the engines from 1.3 to 3.2 really write.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from quiesce.orientdb.escapes import Number, Pairs, pairs, written
from quiesce.v1.database_pb2 import ClassDefinition, Cluster, PropertyDefinition

T = TypeVar("T")

LARGEST_CLUSTER = 32_767
_RID = re.compile(r"#(-?\d+):(-?\d+)")


class NotASection(ValueError):
    """The section's text does not have its form; the message says what is wrong."""


@dataclass(slots=True)
class Info:
    """What an export says about itself."""

    # 0 where there is no `info`.
    exporter_version: int = 0
    engine_version: str = ""
    # Records of the engine itself, which are not imported.
    engine_records: frozenset[tuple[int, int]] = frozenset({(0, 1), (0, 2)})
    # JSON of what Quiesce wrote beside OrientDB's own keys, for the way back; see layout.py.
    kept: bytes = b""
    # Clusters that Quiesce wrote only because OrientDB wants them.
    fillers: frozenset[int] = frozenset()


@dataclass(slots=True)
class Schema:
    """Classes, and what else the section holds."""

    classes: list[ClassDefinition] = field(default_factory=list)
    # JSON of everything that has no place in a definition: under `section` the section's own keys, under `unknown`
    # those of classes and properties, by `Class` and `Class.property`.
    other: bytes = b""


class _Property(msgspec.Struct):
    name: str
    type: str
    mandatory: bool = False
    readonly: bool = False
    not_null: bool = msgspec.field(name="not-null", default=False)
    linked_class: str | None = msgspec.field(name="linked-class", default=None)
    linked_type: str | None = msgspec.field(name="linked-type", default=None)
    min: str | None = None
    max: str | None = None
    collate: str | None = None
    default_value: str | None = msgspec.field(name="default-value", default=None)
    regexp: str | None = None
    custom_fields: dict[str, str] | None = msgspec.field(name="customFields", default=None)


class _Class(msgspec.Struct):
    name: str
    default_cluster_id: int = msgspec.field(name="default-cluster-id", default=-1)
    cluster_ids: list[int] = msgspec.field(name="cluster-ids", default_factory=list)
    oversize: float = 0.0
    strict_mode: bool = msgspec.field(name="strictMode", default=False)
    # Up to 2.0 one, since 2.1 many.
    super_class: str | None = msgspec.field(name="super-class", default=None)
    super_classes: list[str] | None = msgspec.field(name="super-classes", default=None)
    short_name: str | None = msgspec.field(name="short-name", default=None)
    abstract: bool = False
    cluster_selection: str | None = msgspec.field(name="cluster-selection", default=None)
    properties: list[_Property] = msgspec.field(default_factory=list)
    custom_fields: dict[str, str] | None = msgspec.field(name="customFields", default=None)


class _Cluster(msgspec.Struct):
    name: str
    id: int


def _keys(struct: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(one.encode_name for one in msgspec.structs.fields(struct))


_CLASS_KEYS = _keys(_Class)
_PROPERTY_KEYS = _keys(_Property)


def parse_info(text: bytes) -> Info:
    """Return what `info` says. Raises NotASection."""
    fields = _mapping(text)
    info = Info()
    version = fields.get("exporter-version")
    if version is not None:
        if not isinstance(version, Number) or not version.isdigit():
            raise NotASection(f"exporter-version is no number: {version}")
        info.exporter_version = int(version)
    engine = fields.get("engine-version")
    info.engine_version = engine if isinstance(engine, str) else ""
    named = (fields.get("schemaRecordId"), fields.get("indexMgrRecordId"))
    found = [_RID.fullmatch(rid) for rid in named if isinstance(rid, str)]
    info.engine_records |= {(int(one[1]), int(one[2])) for one in found if one}
    kept = fields.get("quiesce")
    if isinstance(kept, Pairs):
        info.kept = written(kept).encode()
        listed = dict(kept).get("fillers")
        if isinstance(listed, list):
            info.fillers = frozenset(int(one) for one in listed if isinstance(one, Number) and one.isdigit())
    return info


def parse_clusters(text: bytes) -> list[Cluster]:
    """Return the clusters, in the order of their ids. Raises NotASection."""
    clusters = _decode(text, list[_Cluster])
    for one in clusters:
        if not 0 <= one.id <= LARGEST_CLUSTER:
            raise NotASection(f"cluster `{one.name}` has the id {one.id}")
    if len({one.id for one in clusters}) < len(clusters) or len({one.name for one in clusters}) < len(clusters):
        raise NotASection("two clusters have the same id or name")
    return [Cluster(id=one.id, name=one.name) for one in sorted(clusters, key=lambda one: one.id)]


def parse_schema(text: bytes) -> Schema:
    """Return the classes, super-classes before their sub-classes. Raises NotASection."""
    section = _mapping(text)
    classes = section.pop("classes", [])
    definitions = [_class_definition(one) for one in _decode(written(classes).encode(), list[_Class])]
    unknown = Pairs()
    for one in classes:
        named = dict(one)
        unknown += _unknown(named["name"], one, _CLASS_KEYS)
        for prop in named.get("properties", []):
            unknown += _unknown(f"{named['name']}.{dict(prop)['name']}", prop, _PROPERTY_KEYS)
    other = Pairs([("section", Pairs(section.items())), ("unknown", unknown)])
    return Schema(_super_classes_first(definitions), written(other).encode())


def _unknown(where: str, fields: Pairs, known: frozenset[str]) -> Pairs:
    found = Pairs((key, value) for key, value in fields if key not in known)
    return Pairs([(where, found)]) if found else Pairs()


def _class_definition(one: _Class) -> ClassDefinition:
    supers = one.super_classes if one.super_classes is not None else [one.super_class] if one.super_class else []
    clusters = [cluster for cluster in one.cluster_ids if cluster >= 0]
    if any(cluster > LARGEST_CLUSTER for cluster in [*clusters, one.default_cluster_id]):
        raise NotASection(f"class `{one.name}` has a cluster id that is out of range")
    return ClassDefinition(
        name=one.name,
        # Pretty-printed by hand, names carried blanks that OrientDB's importer stumbles over.
        super_classes=[name.strip() for name in supers],
        abstract=one.abstract or not clusters,
        strict_mode=one.strict_mode,
        cluster_ids=clusters,
        default_cluster_id=one.default_cluster_id if one.default_cluster_id >= 0 else None,
        properties=[_property_definition(prop) for prop in one.properties],
        cluster_selection=one.cluster_selection or "",
        short_name=one.short_name or "",
        oversize=one.oversize,
        custom_fields=one.custom_fields or {},
    )


def _property_definition(one: _Property) -> PropertyDefinition:
    return PropertyDefinition(
        name=one.name,
        type=one.type,
        mandatory=one.mandatory,
        read_only=one.readonly,
        not_null=one.not_null,
        linked_class=one.linked_class or "",
        linked_type=one.linked_type or "",
        min=one.min,
        max=one.max,
        collate=one.collate or "",
        default_value=one.default_value,
        regexp=one.regexp,
        custom_fields=one.custom_fields or {},
    )


def _super_classes_first(classes: list[ClassDefinition]) -> list[ClassDefinition]:
    named = {one.name: one for one in classes}
    if len(named) < len(classes):
        raise NotASection("two classes have the same name")
    ordered: dict[str, ClassDefinition] = {}
    # A stack of our own: a chain of classes may be longer than Python's.
    for first in sorted(named):
        path: list[str] = [first]
        while path:
            one = named[path[-1]]
            for name in one.super_classes:
                if name not in named:
                    raise NotASection(f"class `{one.name}` extends `{name}`, which the file does not hold")
            waiting = [name for name in one.super_classes if name not in ordered]
            if not waiting:
                ordered[path.pop()] = one
            elif waiting[0] in path:
                raise NotASection(f"class `{one.name}` extends itself")
            else:
                path.append(waiting[0])
    return list(ordered.values())


def parse_broken(text: bytes) -> list[str]:
    """Return the ids in `brokenRids`, which OrientDB writes without quotes. Raises NotASection."""
    rids = re.findall(r"#-?\d+:-?\d+", text.decode("latin-1"))
    rest = re.sub(rb'#-?\d+:-?\d+|[\s,"\[\]]', b"", text)
    if rest:
        raise NotASection(f"{rest[:40]!r} is no record id")
    return rids


def _mapping(text: bytes) -> dict[str, Any]:
    fields = _parsed(pairs, text)
    if not isinstance(fields, Pairs):
        raise NotASection("an object expected")
    return dict(fields)


def _decode(text: bytes, form: type[T]) -> T:
    # Not strict: engines wrote some numbers and truth values as strings, and the other way round.
    return _parsed(lambda data: msgspec.json.decode(data, type=form, strict=False), text)


def _parsed(parse: Callable[[bytes], T], text: bytes) -> T:
    try:
        return parse(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise NotASection(str(error)) from error
