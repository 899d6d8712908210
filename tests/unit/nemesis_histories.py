"""Histories for the tests of the checker: written by hand, made at random, and judged by trying every order."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any

from tests.nemesis.history import Operation
from tests.nemesis.models import Model


def op(kind: str, argument: Any, result: Any, invoked: int, returned: int | None, key: str = "x") -> Operation:
    return Operation(f"c{invoked}", key, kind, invoked, argument, result, returned)


def read(result: Any, invoked: int, returned: int | None) -> Operation:
    return op("read", None, result, invoked, returned)


def write(value: Any, invoked: int, returned: int | None, version: int | None = None) -> Operation:
    return op("write", value, version, invoked, returned)


def cas(expected: Any, value: Any, result: Any, invoked: int, returned: int | None) -> Operation:
    return op("cas", (expected, value), result, invoked, returned)


def insert(token: str, done: bool | None, invoked: int, returned: int | None) -> Operation:
    return op("insert", token, done, invoked, returned)


def lookup(found: str | None, invoked: int, returned: int | None) -> Operation:
    return op("lookup", None, found, invoked, returned)


def delete(token: str, done: bool | None, invoked: int, returned: int | None) -> Operation:
    return op("delete", token, done, invoked, returned)


def brute_force(history: Sequence[Operation], model: Model[Any]) -> bool:
    """Try every order that respects time, with every subset of the unknown operations."""
    unknown = [one for one in history if one.unknown]
    known = [one for one in history if not one.unknown]
    for count in range(len(unknown) + 1):
        for some in itertools.combinations(unknown, count):
            for order in itertools.permutations([*known, *some]):
                if _respects_time(order) and _possible(order, model):
                    return True
    return False


def _respects_time(order: Sequence[Operation]) -> bool:
    return not any(
        later.returned is not None and later.returned < earlier.invoked
        for place, earlier in enumerate(order)
        for later in order[place + 1 :]
    )


def _possible(order: Iterable[Operation], model: Model[Any]) -> bool:
    states = {model.initial}
    for one in order:
        states = {after for state in states for after in model.step(state, one)}
    return bool(states)


def run_register(seed: int, operations: int, clients: int, unknown: float) -> list[Operation]:
    """Run clients against a correct register of versions; each operation takes effect at some time within it, and one
    of unknown outcome at any later time, or never.
    """
    rng = random.Random(seed)
    history: list[Operation] = []
    # (time it takes effect, number, operation)
    effects: list[tuple[int, int, Operation]] = []
    free_at = [rng.randrange(100) for _ in range(clients)]
    for number in range(operations):
        client = min(range(clients), key=free_at.__getitem__)
        invoked = free_at[client]
        returned = invoked + rng.randrange(1, 200)
        kind = rng.choice(["read", "write", "cas"])
        one = Operation(f"c{client}", "x", kind, invoked, number, None, returned)
        history.append(one)
        at = rng.randrange(invoked, returned + 1)
        if rng.random() < unknown:
            one.returned = None
            at += rng.choice([0, 500, 5_000])
            if rng.random() < 0.4:
                at = -1
        if at >= 0:
            effects.append((at, number, one))
        elif kind == "cas":
            one.argument = (0, number)
        free_at[client] = returned + rng.randrange(1, 50)
    _happen(effects, rng)
    for one in history:
        if one.unknown:
            one.result = None
    return history


def _happen(effects: list[tuple[int, int, Operation]], rng: random.Random) -> None:
    version, value = 1, -1
    for _, number, one in sorted(effects, key=lambda effect: effect[:2]):
        if one.kind == "read":
            one.result = (version, value)
            continue
        if one.kind == "cas":
            expected = version if rng.random() < 0.6 else version + rng.choice([-1, 1])
            one.argument = (expected, number)
            one.result = (expected == version, version + (expected == version))
            if expected != version:
                continue
        version, value = version + 1, number
        if one.kind == "write":
            one.result = version
