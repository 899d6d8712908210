"""What the schema demands of a document: presence, types, bounds, patterns."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import UNSET

from nodes.store.index_key import FLOATS, NOT_FINITE
from nodes.store.patterns import Pattern, compile_pattern
from quiesce.errors import ConstraintViolated
from quiesce.v1.database_pb2 import ClassDefinition, PropertyDefinition

_RID = re.compile(r"#-?\d+:-?\d+")
_BITS = {"BYTE": 8, "SHORT": 16, "INTEGER": 32, "LONG": 64}
_NUMBERS = frozenset((*_BITS, "FLOAT", "DOUBLE", "DECIMAL"))
_DATES = frozenset(("DATE", "DATETIME"))
_LISTS = frozenset(("EMBEDDEDLIST", "EMBEDDEDSET", "LINKLIST", "LINKSET", "LINKBAG"))
_MAPS = frozenset(("EMBEDDED", "EMBEDDEDMAP", "LINKMAP"))
_STRINGS = frozenset(("STRING", "BINARY", "CUSTOM"))
PROPERTY_TYPES = frozenset((*_NUMBERS, *_DATES, *_LISTS, *_MAPS, *_STRINGS, "BOOLEAN", "LINK", "TRANSIENT", "ANY"))

# OrientDB's default formats for dates in text.
_DATE_FORMATS = ("%Y-%m-%d %H:%M:%S:%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")


@dataclass(frozen=True, slots=True)
class Constraint:
    """What one property demands."""

    name: str
    class_name: str
    type: str
    mandatory: bool
    not_null: bool
    read_only: bool
    min: Decimal | None
    max: Decimal | None
    pattern: Pattern | None

    def violated(self, detail: str) -> ConstraintViolated:
        """Return the error."""
        return ConstraintViolated(property=self.name, class_name=self.class_name, detail=detail)


def compile_constraints(lineage: Sequence[ClassDefinition]) -> tuple[Constraint, ...]:
    """Return the constraints of a class; `lineage` is the class, then its super-classes."""
    found: dict[str, Constraint] = {}
    for definition in lineage:
        for declared in definition.properties:
            if declared.name not in found:
                found[declared.name] = _compile(definition.name, declared)
    return tuple(check for check in found.values() if not _demands_nothing(check))


def bound_problem(declared: PropertyDefinition) -> str | None:
    """Return why a property's bounds or pattern cannot be checked, or None."""
    for which in ("min", "max"):
        if declared.HasField(which) and _bound(declared.type.upper(), getattr(declared, which)) is None:
            return f"{which} `{getattr(declared, which)}` is not a bound for type {declared.type}"
    if declared.HasField("regexp"):
        try:
            compile_pattern(declared.regexp)
        except ValueError as error:
            return f"regexp `{declared.regexp}`: {error}"
    return None


def check(constraints: Sequence[Constraint], values: tuple[Any, ...], places: Mapping[str, int]) -> None:
    """Check the values of a document.

    Raises:
        ConstraintViolated: naming the first property that is not as demanded.
    """
    for constraint in constraints:
        value = values[places[constraint.name]]
        if value is UNSET:
            if constraint.mandatory:
                raise constraint.violated("it is mandatory and absent")
        elif value is None:
            if constraint.not_null:
                raise constraint.violated("it is null")
        else:
            _check_value(constraint, value)


def check_unchanged(
    constraints: Sequence[Constraint], before: tuple[Any, ...], values: tuple[Any, ...], places: Mapping[str, int]
) -> None:
    """Check that an update leaves the read-only properties as they were.

    Raises:
        ConstraintViolated: it does not.
    """
    for constraint in constraints:
        if constraint.read_only and before[places[constraint.name]] != values[places[constraint.name]]:
            raise constraint.violated("it is read-only")


def _check_value(constraint: Constraint, value: Any) -> None:
    problem = _type_problem(constraint.type, value)
    if problem:
        raise constraint.violated(f"{_shown(value)} {problem}")
    if constraint.min is not None or constraint.max is not None:
        size, what = _measure(constraint.type, value)
        if size is not None:
            if constraint.min is not None and size < constraint.min:
                raise constraint.violated(f"{what}{_shown(value)} is under the minimum of {constraint.min}")
            if constraint.max is not None and size > constraint.max:
                raise constraint.violated(f"{what}{_shown(value)} is over the maximum of {constraint.max}")
    if constraint.pattern is not None and isinstance(value, str):
        if len(value) > constraint.pattern.max_text:
            raise constraint.violated(f"over {constraint.pattern.max_text} characters are not tried against its regexp")
        if constraint.pattern.fullmatch(value) is None:
            raise constraint.violated(f"{_shown(value)} does not match the regexp")


def _type_problem(type_name: str, value: Any) -> str | None:
    if type_name in _BITS:
        if not isinstance(value, int) or isinstance(value, bool):
            return f"is not of type {type_name}"
        bits = _BITS[type_name]
        return None if -(1 << bits - 1) <= value < 1 << bits - 1 else f"does not fit type {type_name}"
    fits: bool
    if type_name in _NUMBERS:
        fits = isinstance(value, int | Decimal) and not isinstance(value, bool)
        fits |= type_name in FLOATS and isinstance(value, str) and value in NOT_FINITE
    elif type_name in _STRINGS:
        fits = isinstance(value, str)
    elif type_name == "BOOLEAN":
        fits = isinstance(value, bool)
    elif type_name in _DATES:
        fits = isinstance(value, int | str) and not isinstance(value, bool)
    elif type_name in _LISTS:
        fits = isinstance(value, list)
    elif type_name in _MAPS:
        fits = isinstance(value, dict)
    elif type_name == "LINK":
        fits = isinstance(value, str) and _RID.fullmatch(value) is not None
    else:
        fits = True
    return None if fits else f"is not of type {type_name}"


def _measure(type_name: str, value: Any) -> tuple[Decimal | int | None, str]:
    if type_name in _NUMBERS:
        number = Decimal(value)
        # NaN is neither under nor over anything.
        return None if number.is_nan() else number, ""
    if type_name in _DATES:
        return (value if isinstance(value, int) else _millis(value)), ""
    if isinstance(value, str):
        # Base64 stands for three bytes in four characters.
        size = len(value) * 3 // 4 - value[-2:].count("=") if type_name == "BINARY" else len(value)
        return size, f"the length {size} of "
    if isinstance(value, list | dict):
        return len(value), f"the size {len(value)} of "
    return None, ""


def _bound(type_name: str, text: str) -> Decimal | None:
    if type_name in _DATES:
        millis = _millis(text)
        if millis is not None:
            return Decimal(millis)
    try:
        bound = Decimal(text)
    except InvalidOperation:
        return None
    return bound if bound.is_finite() else None


def _millis(text: str) -> int | None:
    for form in _DATE_FORMATS:
        try:
            moment = dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC)
        except ValueError:
            continue
        return round(moment.timestamp() * 1000)
    return None


def _compile(class_name: str, declared: PropertyDefinition) -> Constraint:
    type_name = declared.type.upper()
    pattern = None
    if declared.HasField("regexp"):
        try:
            pattern = compile_pattern(declared.regexp)
        except ValueError:
            # Only an import brings such a one, with records that OrientDB has checked; new ones are not refused.
            pattern = None
    return Constraint(
        name=declared.name,
        class_name=class_name,
        type=type_name,
        mandatory=declared.mandatory,
        not_null=declared.not_null,
        read_only=declared.read_only,
        min=_bound(type_name, declared.min) if declared.HasField("min") else None,
        max=_bound(type_name, declared.max) if declared.HasField("max") else None,
        pattern=pattern,
    )


def _demands_nothing(check: Constraint) -> bool:
    free = check.type in ("ANY", "TRANSIENT", "") and check.min is None and check.max is None
    return free and check.pattern is None and not (check.mandatory or check.not_null or check.read_only)


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
