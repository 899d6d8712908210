"""Regular expressions of properties, accepted only where matching cannot run away.

They run while an entry is applied, on every replica: a pattern that backtracks for hours would stop the cluster.
Python and Java agree on the common ground; what only Java has is refused.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

# Private to `re`: there is no public way to see what a pattern consists of.
op: Any = importlib.import_module("re._constants")
parser: Any = importlib.import_module("re._parser")

# Steps that one match may take in the worst case: about a second.
_MAX_STEPS = 100_000_000
_MAX_TEXT = 65_536
# Compiling takes time too, and stack: its end must be the same on every replica, however deep that is in its own.
_MAX_PATTERN = 4_096
_MAX_GROUPS = 100
_ONE_CHARACTER = frozenset((op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN))


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern, and the longest text that it may be tried on."""

    fullmatch: Callable[[str], object]
    max_text: int


@functools.lru_cache(maxsize=1024)
def compile_pattern(text: str) -> Pattern:
    """Return a pattern that is matched against whole texts.

    Raises:
        ValueError: it is not valid, or could take unbounded time.
    """
    if len(text) > _MAX_PATTERN:
        raise ValueError(f"it is longer than {_MAX_PATTERN} characters")
    if text.count("(") > _MAX_GROUPS:
        raise ValueError(f"it has more than {_MAX_GROUPS} groups")
    try:
        tree = parser.parse(text)
        compiled = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"it is not a regular expression: {error}") from None
    unbounded, ways = _work(tree)
    # Each unbounded repeat may take any share of the text: the work is its length to the power of their number.
    longest = int((_MAX_STEPS / ways) ** (1 / unbounded)) if unbounded else _MAX_TEXT
    if ways > _MAX_STEPS or longest < 64:
        raise ValueError("it could take unbounded time")
    return Pattern(compiled.fullmatch, min(longest, _MAX_TEXT))


def _work(tree: Iterable[Any]) -> tuple[int, int]:
    """Return how many repeats without a bound there are, and in how many ways the others can be tried."""
    unbounded, ways = 0, 1
    for operator, argument in tree:
        inside, factor = _work_of(operator, argument)
        unbounded += inside
        ways *= factor
    return unbounded, ways


def _work_of(operator: Any, argument: Any) -> tuple[int, int]:
    if operator in _ONE_CHARACTER or operator is op.AT:
        return 0, 1
    if operator is op.SUBPATTERN:
        return _work(argument[3])
    if operator is op.BRANCH:
        branches = [_work(branch) for branch in argument[1]]
        return max(unbounded for unbounded, _ in branches), sum(ways for _, ways in branches)
    if operator not in (op.MAX_REPEAT, op.MIN_REPEAT):
        raise ValueError("it looks around, refers back or is possessive, which is not supported")
    low, high, body = argument
    inside = list(body)
    if len(inside) == 1 and inside[0][0] in _ONE_CHARACTER:
        if high is op.MAXREPEAT:
            return 1, 1
        return 0, int(high) - int(low) + 1
    unbounded, ways = _work(inside)
    if high is op.MAXREPEAT or (high > 1 and unbounded):
        raise ValueError("it repeats a group, which can take unbounded time")
    if int(high) * (ways + 1).bit_length() > 64:
        raise ValueError("it repeats a group too often")
    return unbounded, (ways + 1) ** int(high) if high != low else ways ** int(high)
