"""From statements on the schema to the changes that the cluster applies; nothing is read or written here."""

from __future__ import annotations

import re
from collections.abc import Callable

from quiesce.errors import InvalidSchemaChange, StatementNotSupported, UnfitValue
from quiesce.sql.catalog import Catalog
from quiesce.sql.schema_statements import (
    AlterClass,
    AlterCluster,
    AlterProperty,
    CreateClass,
    CreateCluster,
    CreateIndex,
    CreateProperty,
    DropClass,
    DropCluster,
    DropIndex,
    DropProperty,
    IndexedField,
    SchemaStatement,
)
from quiesce.v1 import database_pb2
from quiesce.v1.database_pb2 import (
    ClassDefinition,
    Cluster,
    IndexDefinition,
    IndexField,
    PropertyDefinition,
    SchemaChange,
)

_UNIQUE = frozenset(
    ("UNIQUE", "NOTUNIQUE", "DICTIONARY", "UNIQUE_HASH_INDEX", "NOTUNIQUE_HASH_INDEX", "DICTIONARY_HASH_INDEX")
)
_LINKED_CLASSES = frozenset(("LINK", "LINKLIST", "LINKSET", "LINKMAP", "LINKBAG"))
_CUSTOM = re.compile(r"([^=]+)=(.*)", re.DOTALL)


def schema_changes(statement: SchemaStatement, catalog: Catalog) -> list[SchemaChange]:  # noqa: C901  one form after the other
    """Return what a statement changes; nothing where IF EXISTS or IF NOT EXISTS says so.

    Raises:
        UnknownClass, UnknownIndex, UnknownRecordCluster, InvalidSchemaChange: it names what is not there.
        StatementNotSupported: OrientDB knows such a change, and this does not.
        UnfitValue: a value does not fit its attribute.
    """
    match statement:
        case CreateClass():
            return _create_class(statement, catalog)
        case AlterClass():
            return [SchemaChange(alter_class=_altered_class(statement, catalog))]
        case DropClass():
            return _drop_class(statement, catalog)
        case CreateProperty():
            return _create_property(statement, catalog)
        case AlterProperty():
            return _alter_property(statement, catalog)
        case DropProperty():
            return _drop_property(statement, catalog)
        case CreateCluster(name, number, if_not_exists):
            if if_not_exists and catalog.find_cluster(name):
                return []
            return [SchemaChange(create_cluster=Cluster(name=name, id=number or 0))]
        case AlterCluster():
            return [_alter_cluster(statement, catalog)]
        case DropCluster(name, if_exists):
            if if_exists and not catalog.find_cluster(name):
                return []
            return [SchemaChange(drop_cluster=catalog.cluster(name).name)]
        case CreateIndex():
            return _create_index(statement, catalog)
        case DropIndex(name, if_exists):
            if if_exists and not catalog.find_index(name):
                return []
            return [SchemaChange(drop_index=catalog.index(name).name)]


# --- classes


def _create_class(statement: CreateClass, catalog: Catalog) -> list[SchemaChange]:
    if statement.if_not_exists and catalog.find_class(statement.name):
        return []
    supers = [catalog.definition(name).name for name in statement.super_classes]
    definition = ClassDefinition(
        name=statement.name, super_classes=supers, abstract=statement.abstract, cluster_ids=statement.clusters
    )
    return [SchemaChange(create_class=definition)]


def _drop_class(statement: DropClass, catalog: Catalog) -> list[SchemaChange]:
    if statement.if_exists and not catalog.find_class(statement.name):
        return []
    definition = catalog.definition(statement.name)
    if not statement.unsafe and catalog.records(list(definition.cluster_ids)):
        for parent, what in (("V", "vertices"), ("E", "edges")):
            if catalog.is_a(definition.name, parent):
                raise UnfitValue(
                    detail=f"class `{definition.name}` holds {what}, to which links would be left: delete them first, "
                    "or say UNSAFE"
                )
    return [SchemaChange(drop_class=definition.name)]


def _altered_class(statement: AlterClass, catalog: Catalog) -> database_pb2.AlterClass:
    definition = ClassDefinition()
    definition.CopyFrom(catalog.definition(statement.name))
    value = statement.value
    match statement.attribute:
        case "SUPERCLASS" | "SUPERCLASSES":
            _set_super_classes(definition, value, catalog)
        case "STRICTMODE" | "STRICT_MODE":
            definition.strict_mode = _flag(value)
        case "ABSTRACT":
            definition.abstract = _flag(value)
        case "SHORTNAME":
            definition.short_name = value or ""
        case "OVERSIZE":
            definition.oversize = _number(value)
        case "CLUSTERSELECTION" | "CLUSTER_SELECTION":
            definition.cluster_selection = value or ""
        case "DEFAULTCLUSTER" | "DEFAULT_CLUSTER":
            definition.default_cluster_id = catalog.cluster(value or "").id
        case "ADDCLUSTER":
            definition.cluster_ids.append(catalog.cluster(value or "").id)
        case "REMOVECLUSTER":
            _remove_cluster(definition, catalog.cluster(value or ""))
        case "CUSTOM":
            _custom(definition.custom_fields, value)
        case other:
            hint = ": records name their class, so each would have to be written again" if other == "NAME" else ""
            raise StatementNotSupported(what=f"ALTER CLASS {other}", instead=hint)
    return database_pb2.AlterClass(definition=definition)


def _set_super_classes(definition: ClassDefinition, value: str | None, catalog: Catalog) -> None:
    if value is None:
        del definition.super_classes[:]
        return
    name = catalog.definition(value.lstrip("+-")).name
    if value[0] == "+":
        if name not in definition.super_classes:
            definition.super_classes.append(name)
    elif value[0] == "-":
        if name not in definition.super_classes:
            raise InvalidSchemaChange(
                database=catalog.name, detail=f"`{name}` is no super-class of class `{definition.name}`"
            )
        definition.super_classes.remove(name)
    else:
        del definition.super_classes[:]
        definition.super_classes.append(name)


def _remove_cluster(definition: ClassDefinition, cluster: Cluster) -> None:
    if cluster.id not in definition.cluster_ids:
        raise UnfitValue(detail=f"cluster `{cluster.name}` does not belong to class `{definition.name}`")
    definition.cluster_ids.remove(cluster.id)
    if definition.default_cluster_id == cluster.id:
        definition.ClearField("default_cluster_id")


# --- properties


def _create_property(statement: CreateProperty, catalog: Catalog) -> list[SchemaChange]:
    definition = catalog.definition(statement.class_name)
    if statement.if_not_exists and any(found.name == statement.name for found in definition.properties):
        return []
    declared = PropertyDefinition(name=statement.name, type=statement.type)
    if statement.linked is not None:
        _set_linked(declared, statement.linked, catalog)
    for attribute, value in statement.attributes:
        _set_attribute(declared, attribute, value, catalog)
    change = database_pb2.CreateProperty(class_name=definition.name, property=declared)
    return [SchemaChange(create_property=change)]


def _set_linked(declared: PropertyDefinition, linked: str, catalog: Catalog) -> None:
    """Set what a property's items are: a class, or for what is embedded a simple type."""
    found = catalog.find_class(linked)
    if found is not None:
        declared.linked_class = found.name
    elif declared.type in _LINKED_CLASSES:
        declared.linked_class = catalog.definition(linked).name
    else:
        declared.linked_type = linked.upper()


def _alter_property(statement: AlterProperty, catalog: Catalog) -> list[SchemaChange]:
    definition, found = _own_property(statement.class_name, statement.name, catalog)
    declared = PropertyDefinition()
    declared.CopyFrom(found)
    _set_attribute(declared, statement.attribute, statement.value, catalog)
    change = database_pb2.AlterProperty(class_name=definition.name, property=declared)
    return [SchemaChange(alter_property=change)]


def _own_property(class_name: str, name: str, catalog: Catalog) -> tuple[ClassDefinition, PropertyDefinition]:
    definition = catalog.definition(class_name)
    found = next((declared for declared in definition.properties if declared.name == name), None)
    if found is None:
        raise InvalidSchemaChange(database=catalog.name, detail=f"class `{definition.name}` has no property `{name}`")
    return definition, found


def _set_attribute(declared: PropertyDefinition, attribute: str, value: str | None, catalog: Catalog) -> None:  # noqa: C901
    match attribute:
        case "MANDATORY":
            declared.mandatory = _flag(value)
        case "READONLY":
            declared.read_only = _flag(value)
        case "NOTNULL" | "NOT_NULL":
            declared.not_null = _flag(value)
        case "MIN" | "MAX" | "REGEXP":
            field = attribute.lower()
            if value is None:
                declared.ClearField(field)  # type: ignore[arg-type]
            else:
                setattr(declared, field, value)
        case "DEFAULT":
            if value is None:
                declared.ClearField("default_value")
            else:
                declared.default_value = value
        case "COLLATE":
            declared.collate = (value or "default").lower()
        case "TYPE":
            declared.type = (value or "").upper()
        case "LINKEDCLASS" | "LINKED_CLASS":
            declared.linked_class = "" if value is None else catalog.definition(value).name
        case "LINKEDTYPE" | "LINKED_TYPE":
            declared.linked_type = (value or "").upper()
        case "CUSTOM":
            _custom(declared.custom_fields, value)
        case other:
            hint = ": records name their fields, so each would have to be written again" if other == "NAME" else ""
            raise StatementNotSupported(what=f"ALTER PROPERTY {other}", instead=hint)


def _drop_property(statement: DropProperty, catalog: Catalog) -> list[SchemaChange]:
    definition = catalog.definition(statement.class_name)
    if statement.if_exists and not any(found.name == statement.name for found in definition.properties):
        return []
    changes = []
    if statement.force:
        changes = [
            SchemaChange(drop_index=index.name)
            for index in catalog.database.indexes
            if index.class_name == definition.name and any(part.name == statement.name for part in index.fields)
        ]
    drop = database_pb2.DropProperty(class_name=definition.name, name=statement.name)
    return [*changes, SchemaChange(drop_property=drop)]


# --- clusters and indexes


def _alter_cluster(statement: AlterCluster, catalog: Catalog) -> SchemaChange:
    if statement.attribute != "NAME" or not statement.value:
        raise StatementNotSupported(what=f"ALTER CLUSTER {statement.attribute}", instead="")
    change = database_pb2.AlterCluster(name=catalog.cluster(statement.name).name, new_name=statement.value)
    return SchemaChange(alter_cluster=change)


def _create_index(statement: CreateIndex, catalog: Catalog) -> list[SchemaChange]:
    if statement.if_not_exists and catalog.find_index(statement.name):
        return []
    if statement.type not in _UNIQUE:
        raise StatementNotSupported(what=f"An index of type {statement.type}", instead="")
    class_name, fields = statement.class_name, statement.fields
    if class_name is None:
        # CREATE INDEX City.name UNIQUE names class and field.
        class_name, point, only = statement.name.rpartition(".")
        if not point:
            raise StatementNotSupported(
                what="An index without a class", instead=": name it class.field, or say ON class (field)"
            )
        fields = (IndexedField(only),)
    definition = catalog.definition(class_name)
    index = IndexDefinition(
        name=statement.name,
        type=statement.type,
        algorithm="HASH_INDEX" if statement.type.endswith("_HASH_INDEX") else "CELL_BTREE",
        class_name=definition.name,
        nulls_ignored=statement.ignore_nulls,
        maintained=True,
    )
    for field in fields:
        part = index.fields.add(name=field.name, collate=field.collate, nulls_ignored=statement.ignore_nulls)
        if field.by:
            part.by = IndexField.BY_MAP_KEY if field.by == "KEY" else IndexField.BY_ITEM
    return [SchemaChange(create_index=index)]


# --- values


def _flag(value: str | None) -> bool:
    found = {"true": True, "false": False}.get((value or "").lower())
    if found is None:
        raise UnfitValue(detail=f"`{value}` is neither true nor false")
    return found


def _number(value: str | None) -> float:
    return _read(float, value)


def _read(read: Callable[[str], float], value: str | None) -> float:
    try:
        return read(value or "")
    except ValueError:
        raise UnfitValue(detail=f"`{value}` is not a number") from None


def _custom(fields: object, value: str | None) -> None:
    found = _CUSTOM.fullmatch(value or "")
    if found is None:
        raise UnfitValue(detail=f"CUSTOM takes name=value, not `{value}`")
    name, text = found[1].strip(), found[2].strip()
    if text in ("", "null"):
        fields.pop(name, None)  # type: ignore[attr-defined]
    else:
        fields[name] = text  # type: ignore[index]
