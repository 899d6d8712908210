"""What LIST and INFO show, in the tables of OrientDB's console."""

from __future__ import annotations

from typing import Any

from quiesce.console.tables import table
from quiesce.sql.catalog import Catalog
from quiesce.v1.database_pb2 import ClassDefinition, Database, IndexDefinition, IndexField


def databases(found: list[Database]) -> tuple[str, dict[str, Any]]:
    """Return LIST DATABASES."""
    lines = [f"Found {len(found)} databases:", "", *(f"* {database.name}" for database in found)]
    return "\n".join(lines), {"databases": [database.name for database in found]}


def clusters(catalog: Catalog, width: int) -> tuple[str, dict[str, Any]]:
    """Return LIST CLUSTERS."""
    found = sorted(catalog.database.clusters, key=lambda one: one.name)
    facts = [
        {
            "name": one.name,
            "id": one.id,
            "class": catalog.owners[one.id].name if one.id in catalog.owners else "",
            "count": one.records,
        }
        for one in found
    ]
    rows = [
        [str(n), *(str(one[key]) for key in ("name", "id", "class")), "", str(one["count"])]
        for n, one in enumerate(facts)
    ]
    footer = ["", f"TOTAL = {len(found)}", "", "", "", str(sum(one.records for one in found))]
    columns = ["#", "NAME", ">ID", "CLASS", "CONFLICT-STRATEGY", ">COUNT"]
    return f"CLUSTERS (collections)\n{table(columns, rows, width=width, footer=footer)}", {"clusters": facts}


def classes(catalog: Catalog, width: int) -> tuple[str, dict[str, Any]]:
    """Return LIST CLASSES."""
    found = sorted(catalog.database.classes, key=lambda one: one.name)
    facts = [
        {
            "name": one.name,
            "super_classes": list(one.super_classes),
            "clusters": _clusters_of(one, catalog),
            "count": catalog.records(list(one.cluster_ids)),
        }
        for one in found
    ]
    rows = [
        [
            str(number),
            str(one["name"]),
            f"[{','.join(definition.super_classes)}]" if definition.super_classes else "",
            ",".join(_clusters_of(definition, catalog)) or "-",
            str(one["count"]),
        ]
        for number, (one, definition) in enumerate(zip(facts, found, strict=True))
    ]
    total = sum(catalog.records(list(one.cluster_ids)) for one in found)
    footer = ["", f"TOTAL = {len(found)}", "", "", str(total)]
    columns = ["#", "NAME", "SUPER-CLASSES", "CLUSTERS", ">COUNT"]
    return f"CLASSES\n{table(columns, rows, width=width, footer=footer)}", {"classes": facts}


def _clusters_of(definition: ClassDefinition, catalog: Catalog) -> list[str]:
    names = {one.id: one.name for one in catalog.database.clusters}
    return [f"{names.get(number, '?')}({number})" for number in definition.cluster_ids]


def indexes(catalog: Catalog, width: int) -> tuple[str, dict[str, Any]]:
    """Return LIST INDEXES."""
    found = sorted(catalog.database.indexes, key=lambda one: one.name)
    facts = [
        {
            "name": one.name,
            "type": one.type,
            "class": one.class_name,
            "collate": ",".join(dict.fromkeys(part.collate or "default" for part in one.fields)),
            "fields": [_field_text(part) for part in one.fields],
            "maintained": one.maintained,
        }
        for one in found
    ]
    rows = [
        [
            str(number),
            one.name,
            one.type if one.maintained else f"{one.type} (definition only)",
            one.class_name,
            str(fact["collate"]),
            ",".join(map(_field_text, one.fields)),
        ]
        for number, (one, fact) in enumerate(zip(found, facts, strict=True))
    ]
    footer = ["", f"TOTAL = {len(found)}", "", "", "", ""]
    columns = ["#", "NAME", "TYPE", "CLASS", "COLLATE", "FIELDS"]
    return f"INDEXES\n{table(columns, rows, width=width, footer=footer)}", {"indexes": facts}


def _field_text(part: IndexField) -> str:
    by = {IndexField.BY_ITEM: " by item", IndexField.BY_MAP_KEY: " by key"}.get(part.by, "")
    return f"{part.name}({part.key_type}){by}"


def database(catalog: Catalog, width: int) -> tuple[str, dict[str, Any]]:
    """Return INFO: all of the above of the database in use."""
    parts = [clusters(catalog, width), classes(catalog, width), indexes(catalog, width)]
    text = "\n\n".join([f"Current database: {catalog.name}", *(one for one, _ in parts)])
    facts: dict[str, Any] = {"database": catalog.name}
    for _, found in parts:
        facts |= found
    return text, facts


def class_info(catalog: Catalog, name: str, width: int) -> tuple[str, dict[str, Any]]:
    """Return INFO CLASS."""
    one = catalog.definition(name)
    names = {cluster.id: cluster.name for cluster in catalog.database.clusters}
    below = sorted(found.name for found in catalog.database.classes if one.name in found.super_classes)
    default = "-" if one.abstract else f"{names.get(one.default_cluster_id, '?')} (id={one.default_cluster_id})"
    lines = [
        f"CLASS '{one.name}'",
        "",
        f"Records..............: {catalog.records(list(one.cluster_ids))}",
        f"Super classes........: [{', '.join(one.super_classes)}]",
        f"Sub classes..........: [{', '.join(below)}]",
        f"Abstract.............: {str(one.abstract).lower()}",
        f"Strict mode..........: {str(one.strict_mode).lower()}",
        f"Default cluster......: {default}",
        f"Supported clusters...: {', '.join(_clusters_of(one, catalog)) or '-'}",
        f"Cluster selection....: {one.cluster_selection or 'default'}",
    ]
    lines += [f"Custom field.........: {key}={value}" for key, value in sorted(one.custom_fields.items())]
    if one.properties:
        columns = [
            "#",
            "NAME",
            "TYPE",
            "LINKED-TYPE/CLASS",
            "MANDATORY",
            "READONLY",
            "NOT-NULL",
            "MIN",
            "MAX",
            "COLLATE",
            "DEFAULT",
        ]
        rows = [
            [
                str(number),
                found.name,
                found.type,
                found.linked_class or found.linked_type,
                str(found.mandatory).lower(),
                str(found.read_only).lower(),
                str(found.not_null).lower(),
                found.min,
                found.max,
                found.collate or "default",
                found.default_value,
            ]
            for number, found in enumerate(sorted(one.properties, key=lambda found: found.name))
        ]
        lines += ["", "PROPERTIES", table(columns, rows, width=width)]
    own = [index for index in catalog.database.indexes if index.class_name == one.name]
    if own:
        rows = [[index.name, f"[{', '.join(map(_field_text, index.fields))}]"] for index in own]
        lines += ["", f"INDEXES ({len(own)} altogether)", table(["NAME", "PROPERTIES"], rows, width=width)]
    facts = {
        "class": one.name,
        "super_classes": list(one.super_classes),
        "abstract": one.abstract,
        "count": catalog.records(list(one.cluster_ids)),
        "properties": [{"name": found.name, "type": found.type} for found in one.properties],
        "indexes": [index.name for index in own],
    }
    return "\n".join(lines), facts


def property_info(catalog: Catalog, name: str) -> tuple[str, dict[str, Any]]:
    """Return INFO PROPERTY class.property."""
    class_name, _, field = name.partition(".")
    definition = catalog.definition(class_name)
    found = catalog.find_property(definition.name, field)
    if found is None:
        return f"Class `{definition.name}` has no property `{field}`.", {"property": None}
    facts: dict[str, Any] = {
        "property": f"{definition.name}.{found.name}",
        "type": found.type,
        "mandatory": found.mandatory,
        "not_null": found.not_null,
        "read_only": found.read_only,
        "linked_class": found.linked_class,
        "linked_type": found.linked_type,
        "collate": found.collate or "default",
        "min": found.min,
        "max": found.max,
        "regexp": found.regexp,
        "default": found.default_value,
    }
    lines = [f"PROPERTY '{facts['property']}'", ""]
    labels = ((key.replace("_", " ").capitalize(), value) for key, value in facts.items() if key != "property")
    lines += [f"{label:.<21}: {str(value).lower() if isinstance(value, bool) else value}" for label, value in labels]
    lines += [f"{'Custom field':.<21}: {key}={value}" for key, value in sorted(found.custom_fields.items())]
    return "\n".join(lines), facts


def cluster_info(catalog: Catalog, name: str) -> tuple[str, dict[str, Any]]:
    """Return INFO CLUSTER."""
    found = catalog.cluster(name)
    owner = catalog.owners.get(found.id)
    facts = {
        "cluster": found.name,
        "id": found.id,
        "class": "" if owner is None else owner.name,
        "count": found.records,
        "next_position": found.next_position,
    }
    lines = [f"{key.replace('_', ' ').capitalize():.<21}: {value}" for key, value in facts.items()]
    return "\n".join(lines), facts


def index_info(catalog: Catalog, name: str) -> tuple[str, dict[str, Any]]:
    """Return INFO INDEX."""
    found: IndexDefinition = catalog.index(name)
    facts = {
        "index": found.name,
        "type": found.type,
        "algorithm": found.algorithm,
        "class": found.class_name,
        "fields": ", ".join(map(_field_text, found.fields)),
        "nulls_ignored": found.nulls_ignored,
        "maintained": found.maintained,
    }
    lines = [
        f"{key.replace('_', ' ').capitalize():.<21}: {str(value).lower() if isinstance(value, bool) else value}"
        for key, value in facts.items()
    ]
    return "\n".join(lines), facts
