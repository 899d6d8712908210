"""How OrientDB compares: which values are equal, and which is less.

The rules are those of OrientDB 3.2 (OQueryOperatorEquals, OLtOperator, OType.castComparableNumber), found by reading
and by asking it. Two values of different types are compared as values of the left one's type; where the right one
cannot be made one, they are neither equal nor in any order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from quiesce.errors import QuiesceError
from quiesce.records import RID, Float, Long
from quiesce.sql.collation import collation_key
from quiesce.sql.texts import text_of

# The types of numbers, from the narrowest.
INTEGER, LONG, FLOAT, DOUBLE, DECIMAL = range(5)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
_DATE_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d")
_WHOLE = re.compile(r"[+-]?\d{1,20}\Z")


def is_number(value: object) -> bool:
    """Return whether a value is a number of OrientDB; a boolean is none."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def is_collection(value: object) -> bool:
    """Return whether a value is a list or set of any kind."""
    return isinstance(value, list | set | frozenset | tuple) and not isinstance(value, RID)


def items_of(value: Any) -> list[Any]:
    """Return the items of a collection; those of a set in an order that is always the same."""
    return sorted(value, key=order_key) if isinstance(value, set | frozenset) else list(value)


def number_kind(value: Any) -> int:
    """Return the type of a number."""
    if isinstance(value, Decimal):
        return DECIMAL
    if isinstance(value, float):
        return FLOAT if isinstance(value, Float) else DOUBLE
    return LONG if isinstance(value, Long) or not -(1 << 31) <= value < 1 << 31 else INTEGER


# --- equality and order


def equal(left: Any, right: Any) -> bool:
    """Return whether `left = right`; null is equal to nothing."""
    if left is None or right is None:
        return False
    if is_number(left) and is_number(right):
        one, other = _comparable(left, right)
        return bool(one == other)
    right = converted(right, left)
    if right is None:
        return False
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if is_collection(left) and is_collection(right):
        return _equal_collections(left, right)
    return bool(left == right)


def _equal_collections(left: Any, right: Any) -> bool:
    if isinstance(left, set | frozenset) or isinstance(right, set | frozenset):
        return len(left) == len(right) and all(any(same(a, b) for b in right) for a in left)
    return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))


def same(left: Any, right: Any) -> bool:
    """Return whether two items are the same, null and null included."""
    return equal(left, right) or (left is None and right is None)


def compare(left: Any, right: Any) -> int | None:
    """Return -1, 0 or 1; None where the two are in no order, as null is to anything."""
    if left is None or right is None:
        return None
    if is_number(left) and is_number(right):
        left, right = _comparable(left, right)
    else:
        right = converted(right, left)
        if right is None or not _ordered(left):
            return None
    if isinstance(left, str):
        left, right = _utf16(left), _utf16(right)
    return int(left > right) - int(left < right)


def _ordered(value: Any) -> bool:
    return isinstance(value, str | bool | RID | date | bytes) or is_number(value)


def _utf16(text: str) -> bytes:
    """Return what orders texts as Java does, by UTF-16 units."""
    return text.encode("utf-16-be", "surrogatepass")


def _comparable(left: Any, right: Any) -> tuple[Any, Any]:
    kinds = number_kind(left), number_kind(right)
    if FLOAT in kinds and max(kinds) == FLOAT:
        # An integer beside a FLOAT becomes one, and loses what 32 bits do not hold.
        return as_float(left), as_float(right)
    if DOUBLE in kinds and max(kinds) == DOUBLE:
        return float(left), float(right)
    return left, right


def as_float(value: float) -> float:
    """Return a number as 32 bits hold it."""
    try:
        return float(Float(value))
    except OverflowError:
        return math.copysign(math.inf, value)


def converted(value: Any, like_value: Any) -> Any:
    """Return a value as one of the type of another; None where it cannot be."""
    if isinstance(like_value, str):
        return value if isinstance(value, str) else text_of(value)
    if isinstance(like_value, bool):
        return _boolean(value)
    if is_number(like_value):
        return _number(value, like_value)
    if isinstance(like_value, datetime):
        return moment(value)
    if isinstance(like_value, date):
        found = moment(value)
        return None if found is None else found.date() if _is_day(value) else found
    if isinstance(like_value, RID):
        return rid_of(value)
    if is_collection(like_value):
        return value if is_collection(value) else [value]
    return value if type(value) is type(like_value) or isinstance(value, Mapping) else None


def _is_day(value: Any) -> bool:
    return not isinstance(value, datetime)


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return bool(value != 0) if is_number(value) else None


def _number(value: Any, like_value: Any) -> Any:
    if is_number(value):
        return value
    if not isinstance(value, str):
        return None
    try:
        kind = number_kind(like_value)
        if kind in (INTEGER, LONG):
            return int(value) if _WHOLE.match(value) else None
        return {FLOAT: Float, DOUBLE: float, DECIMAL: Decimal}[kind](value)
    except (ValueError, ArithmeticError):
        return None


def moment(value: Any) -> datetime | None:
    """Return a point in time: of a date its midnight, of a number its milliseconds, of a text what it says, in UTC."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, str):
        for form in _DATE_FORMATS:
            try:
                return datetime.strptime(value, form).replace(tzinfo=UTC)
            except ValueError:
                continue
        return None
    try:
        return EPOCH + int(value) * MILLISECOND if is_number(value) else None
    except OverflowError:
        return None


def rid_of(value: Any) -> RID | None:
    """Return a record id: of a text what it says, of a record its own."""
    if isinstance(value, RID):
        return value
    if isinstance(value, str):
        try:
            return RID.parse(value.strip())
        except QuiesceError:
            return None
    own = getattr(value, "rid", None)
    return own if isinstance(own, RID) else None


def order_key(value: Any) -> tuple[Any, ...]:
    """Return what ORDER BY sorts a value by: null first, then numbers, texts in the collator's order, and the rest."""
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (1, value)
    if is_number(value):
        return (2, value)
    if isinstance(value, str):
        return (3, collation_key(value))
    if isinstance(value, date):
        return (4, moment(value))
    if isinstance(value, RID):
        return (5, value)
    return (6,)
