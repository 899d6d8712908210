"""Which class extends which; no effects here."""

from __future__ import annotations

from collections.abc import Mapping

from quiesce.v1.database_pb2 import ClassDefinition


def super_class_problem(classes: Mapping[str, ClassDefinition]) -> str:
    """Return what is wrong with the super-classes; empty where nothing is.

    Names of super-classes become those of the classes as they are defined.

    Args:
        classes: by their names in lower case.
    """
    for definition in classes.values():
        for i, parent in enumerate(definition.super_classes):
            found = classes.get(parent.lower())
            if found is None:
                return f"class `{definition.name}` names the super-class `{parent}`, which does not exist"
            definition.super_classes[i] = found.name
    state: dict[str, int] = {}
    for name in classes:
        circular = _in_a_circle(classes, name, state)
        if circular:
            return f"class `{classes[circular].name}` would be its own super-class"
    return ""


def _in_a_circle(classes: Mapping[str, ClassDefinition], name: str, state: dict[str, int]) -> str:
    # An explicit stack: a chain of super-classes may be longer than the interpreter's.
    stack = [(name, False)]
    while stack:
        current, leaving = stack.pop()
        if leaving:
            state[current] = 2
            continue
        if state.get(current) == 2:
            continue
        state[current] = 1
        stack.append((current, True))
        for parent in map(str.lower, classes[current].super_classes):
            if state.get(parent) == 1:
                return current
            stack.append((parent, False))
    return ""
