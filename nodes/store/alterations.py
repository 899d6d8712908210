"""Changes of classes and properties that are there; no effects here."""

from __future__ import annotations

from nodes.store.constraints import PROPERTY_TYPES, bound_problem
from quiesce.v1.database_pb2 import ClassDefinition, Database, PropertyDefinition

# What the keys of an index are made by.
_KEY_PARTS = ("type", "linked_type", "collate")


def altered_class(definition: ClassDefinition, given: ClassDefinition) -> ClassDefinition:
    """Return what becomes of a class: what is given, with its own name and properties."""
    altered = ClassDefinition()
    altered.CopyFrom(given)
    altered.name = definition.name
    del altered.properties[:]
    altered.properties.extend(definition.properties)
    if altered.abstract:
        altered.ClearField("default_cluster_id")
    return altered


def property_problem(database: Database, definition: ClassDefinition, given: PropertyDefinition) -> str:
    """Return why a property cannot become what is given; empty where it can."""
    found = next((declared for declared in definition.properties if declared.name == given.name), None)
    if found is None:
        return f"class `{definition.name}` has no property `{given.name}`"
    if given.type.upper() not in PROPERTY_TYPES:
        return f"property `{given.name}`: there is no type `{given.type}`"
    problem = bound_problem(given)
    if problem:
        return f"property `{given.name}`: {problem}"
    changed = [part for part in _KEY_PARTS if _or_default(getattr(found, part)) != _or_default(getattr(given, part))]
    below = _family(database, definition.name)
    used = [
        index.name
        for index in database.indexes
        if index.maintained
        and index.class_name.lower() in below
        and any(part.name == given.name for part in index.fields)
    ]
    if changed and used:
        parts = ", ".join(part.replace("_", " ") for part in changed)
        return f"the indexes {', '.join(used)} go by the {parts} of property `{given.name}`; drop those first"
    return ""


def _or_default(value: str) -> str:
    return value.upper() or "DEFAULT"


def _family(database: Database, name: str) -> set[str]:
    """Return a class and all below it, in lower case: their indexes may go by a property that it declares."""
    found: set[str] = set()
    following = {name.lower()}
    while following:
        found |= following
        following = {
            definition.name.lower()
            for definition in database.classes
            if any(parent.lower() in found for parent in definition.super_classes)
        } - found
    return found
