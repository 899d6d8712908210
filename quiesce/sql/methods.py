"""Functions and methods of one row's values; aggregates are in `aggregates`, steps along edges in `graph`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from quiesce.errors import UnfitValue
from quiesce.records import Float, Long
from quiesce.sql.texts import text_of
from quiesce.sql.values import is_collection, is_number, moment


@dataclass(frozen=True, slots=True)
class Known:
    """Something that can be called, and with how many arguments."""

    call: Callable[..., Any]
    arguments: range


def _size(value: Any) -> int:
    # As in OrientDB: what is no collection, a text among it, has the size 0.
    return len(value) if is_collection(value) or isinstance(value, Mapping) else 0


def _on_text(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of a text that is null for null."""
    return lambda value, *arguments: None if value is None else function(text_of(value), *arguments)


def _number(value: Any, kind: Callable[[Any], Any], name: str) -> Any:
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            return kind(1 if value else 0)
        return kind(value if is_number(value) else text_of(value).strip())
    except (ValueError, ArithmeticError, InvalidOperation):
        raise UnfitValue(detail=f"`{text_of(value)}` is not a number for .{name}()") from None


def _boolean(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    return value != 0 if is_number(value) else text_of(value).strip().lower() == "true"


def _substring(text: str, begin: int, end: int | None = None) -> str:
    return text[max(0, int(begin)) : None if end is None else max(0, int(end))]


def _character(text: str, place: int) -> str | None:
    return text[int(place)] if 0 <= place < len(text) else None


METHODS: dict[str, Known] = {
    "size": Known(_size, range(1)),
    "length": Known(lambda value: 0 if value is None else len(text_of(value)), range(1)),
    "touppercase": Known(_on_text(str.upper), range(1)),
    "tolowercase": Known(_on_text(str.lower), range(1)),
    "trim": Known(_on_text(str.strip), range(1)),
    "left": Known(_on_text(lambda text, count: text[: max(0, int(count))]), range(1, 2)),
    "right": Known(_on_text(lambda text, count: text[max(0, len(text) - int(count)) :]), range(1, 2)),
    "substring": Known(_on_text(_substring), range(1, 3)),
    "charat": Known(_on_text(_character), range(1, 2)),
    "indexof": Known(_on_text(lambda text, part: text.find(text_of(part))), range(1, 2)),
    "replace": Known(_on_text(lambda text, old, new: text.replace(text_of(old), text_of(new))), range(2, 3)),
    "append": Known(_on_text(lambda text, more: text + text_of(more)), range(1, 2)),
    "prefix": Known(_on_text(lambda text, more: text_of(more) + text), range(1, 2)),
    "asstring": Known(_on_text(lambda text: text), range(1)),
    "asinteger": Known(lambda value: _number(value, int, "asInteger"), range(1)),
    "aslong": Known(lambda value: _number(value, Long, "asLong"), range(1)),
    "asfloat": Known(lambda value: _number(value, Float, "asFloat"), range(1)),
    "asdecimal": Known(lambda value: _number(value, lambda one: Decimal(text_of(one)), "asDecimal"), range(1)),
    "asboolean": Known(_boolean, range(1)),
    "asdatetime": Known(lambda value: None if value is None else moment(value), range(1)),
    "keys": Known(lambda value: list(value) if isinstance(value, Mapping) else None, range(1)),
    "values": Known(lambda value: list(value.values()) if isinstance(value, Mapping) else None, range(1)),
}


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _absolute(value: Any) -> Any:
    if value is None or not is_number(value):
        return None
    return type(value)(abs(value))


FUNCTIONS: dict[str, Known] = {
    "coalesce": Known(_coalesce, range(1, 100)),
    "ifnull": Known(
        lambda value, other, found=None: other if value is None else (value if found is None else found), range(2, 4)
    ),
    "if": Known(lambda condition, yes, no=None: yes if condition is True else no, range(2, 4)),
    "abs": Known(_absolute, range(1, 2)),
}
