"""What + - * / and % give, as OrientDB 3.2 computes it (OMathExpression, OSQLFunctionAverage).

The result is of the wider type of the two; an integer that a FLOAT meets becomes a FLOAT.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from quiesce.errors import UnfitValue
from quiesce.records import Float, Long
from quiesce.sql.texts import text_of
from quiesce.sql.values import (
    DOUBLE,
    EPOCH,
    FLOAT,
    INTEGER,
    LONG,
    MILLISECOND,
    as_float,
    is_number,
    moment,
    number_kind,
)

# BigDecimal rounds nothing but a quotient.
_EXACT = Context(prec=1_000)


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    """Return `left operator right`; an INTEGER that overflows does it as in Java.

    Raises:
        UnfitValue: a division by zero.
    """
    if operator == "+":
        return _plus(left, right)
    if operator == "-":
        if not is_number(left if left is not None else 0) or not is_number(right if right is not None else 0):
            return _minus_time(left, right)
        if left is None and right is None:
            return None
        return left if right is None else _numeric("-", 0 if left is None else left, right)
    if left is None or right is None or not is_number(left) or not is_number(right):
        return None
    return _numeric(operator, left, right)


def negative(value: Any) -> Any:
    """Return the value with the other sign; of what is no number, null."""
    return _numeric("-", 0, value) if is_number(value) else None


def _plus(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return left if right is None else right
    if is_number(left) and is_number(right):
        return _numeric("+", left, right)
    if isinstance(left, date) or isinstance(right, date):
        total = sum(_milliseconds(one) for one in (left, right))
        return moment(total)
    return text_of(left) + text_of(right)


def _minus_time(left: Any, right: Any) -> Any:
    if isinstance(left, date) or isinstance(right, date):
        return moment(_milliseconds(left) - _milliseconds(right))
    return None


def _milliseconds(value: Any) -> int:
    if isinstance(value, date) and (found := moment(value)) is not None:
        return (found - EPOCH) // MILLISECOND
    return int(value) if is_number(value) else 0


def _numeric(operator: str, left: Any, right: Any) -> Any:
    kind = max(number_kind(left), number_kind(right))
    try:
        if kind == INTEGER:
            return _integers(operator, int(left), int(right))
        if kind == LONG:
            result = _whole(operator, int(left), int(right))
            return Long(_wrapped(result, 64)) if isinstance(result, int) else result
        if kind == FLOAT:
            return Float(_reals(operator, as_float(left), as_float(right)))
        if kind == DOUBLE:
            return _reals(operator, float(left), float(right))
        return _decimals(operator, _decimal(left), _decimal(right))
    except ArithmeticError as error:
        raise UnfitValue(
            detail=f"{text_of(left)} {operator} {text_of(right)} cannot be computed: {type(error).__name__}"
        ) from None


def _integers(operator: str, left: int, right: int) -> Any:
    result = _whole(operator, left, right)
    if not isinstance(result, int):
        return result
    wrapped = _wrapped(result, 32)
    # OrientDB goes on in 64 bits where it sees the overflow.
    if operator == "+" and wrapped < 0 < min(left, right):
        return Long(result)
    if operator == "-" and wrapped > 0 > left and right > 0:
        return Long(result)
    return wrapped


def _whole(operator: str, left: int, right: int) -> int | float:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            remainder = int(math.copysign(1, left)) * (abs(left) % abs(right))
            if operator == "%":
                return remainder
            return left / right if remainder else left // right


def _wrapped(value: int, bits: int) -> int:
    half = 1 << bits - 1
    return (value + half) % (half << 1) - half


def _reals(operator: str, left: float, right: float) -> float:
    operations: dict[str, Callable[[float, float], float]] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / b,
        "%": math.fmod,
    }
    try:
        return operations[operator](left, right)
    except ValueError as error:
        raise ZeroDivisionError(str(error)) from None


def _decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value)


def _decimals(operator: str, left: Decimal, right: Decimal) -> Decimal:
    match operator:
        case "+":
            return _EXACT.add(left, right)
        case "-":
            return _EXACT.subtract(left, right)
        case "*":
            return _EXACT.multiply(left, right)
        case "%":
            return _EXACT.remainder(left, right)
        case _:
            # The scale of the left one stays, as in BigDecimal.divide.
            scale = Decimal((0, (1,), int(left.as_tuple().exponent)))
            return _EXACT.divide(left, right).quantize(scale, ROUND_HALF_UP, _EXACT)


def average(total: Any, count: int) -> Any:
    """Return a sum by a count, in the sum's own type: of integers the integer part."""
    kind = number_kind(total)
    if kind in (INTEGER, LONG):
        whole = int(math.copysign(1, total)) * (abs(total) // count)
        return Long(whole) if kind == LONG else whole
    if kind == FLOAT:
        return Float(total / count)
    return total / count if kind == DOUBLE else _decimals("/", total, Decimal(count))


def total(values: Iterable[Any]) -> Any:
    """Return the sum of numbers, in the widest of their types; None where there are none."""
    found = None
    for value in values:
        found = value if found is None else _numeric("+", found, value)
    return found
