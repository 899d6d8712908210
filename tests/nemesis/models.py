"""What one key may do when its operations come one at a time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeVar

from tests.nemesis.history import Operation

S = TypeVar("S", bound=Hashable)


class Model(Protocol[S]):
    """A sequential specification with hashable states."""

    @property
    def initial(self) -> S: ...

    def step(self, state: S, operation: Operation) -> Sequence[S]:
        """Return the states that `operation` can leave behind in `state`; none if it cannot happen there.

        One whose outcome is unknown may do anything that its kind can do.
        """
        ...

    def changes(self, operation: Operation) -> bool:
        """Return False only if `operation`, of known outcome, leaves every state as it is in which it can happen."""
        ...

    def may_lead(self, state: S, operation: Operation) -> bool:
        """Return False only if no other operations lead from `state` to one where `operation` can happen."""
        ...

    def spent(self, state: S, operation: Operation) -> bool:
        """Return True only if `operation`, of unknown outcome, can change nothing from `state` on."""
        ...

    def alike(self, history: Sequence[Operation]) -> Sequence[Operation]:
        """Return those of unknown outcome that nobody could tell apart: each may stand for another one.

        The search would otherwise go through every choice among them: whoever finds that two writes came in between
        cannot say which two.
        """
        ...


class Register:
    """A value. `read() -> value`, `write(value)`, `cas((expected, value)) -> bool`."""

    def __init__(self, initial: Hashable = None) -> None:
        self.initial = initial

    def step(self, state: Hashable, operation: Operation) -> Sequence[Hashable]:
        argument, unknown = operation.argument, operation.unknown
        match operation.kind:
            case "read":
                return (state,) if unknown or operation.result == state else ()
            case "write":
                return (argument,)
            case "cas":
                expected, value = argument
                done = state == expected
                if unknown or operation.result == done:
                    return (value,) if done else (state,)
                return ()
        raise AssertionError(operation)

    def changes(self, operation: Operation) -> bool:
        # Also a write of what is there already: elsewhere in the order it may be another that it replaces.
        return operation.kind == "write" or (operation.kind == "cas" and bool(operation.result))

    def may_lead(self, state: Hashable, operation: Operation) -> bool:
        return True

    def spent(self, state: Hashable, operation: Operation) -> bool:
        return False

    def alike(self, history: Sequence[Operation]) -> Sequence[Operation]:
        seen = {op.result for op in history if op.kind == "read"}
        seen |= {op.argument[0] for op in history if op.kind == "cas"}
        return [op for op in history if op.unknown and op.kind == "write" and op.argument not in seen]


Versioned = tuple[int, Hashable]


class VersionedRegister:
    """A record: a value and a version that each change raises by one.

    `read() -> (version, value)`, `write(value) -> version`, and `cas((expected version, value)) -> (True, version)` or
    `(False, version found)`.
    """

    def __init__(self, initial: Versioned) -> None:
        self.initial = initial

    def step(self, state: Versioned, operation: Operation) -> Sequence[Versioned]:
        version, _ = state
        argument, result, unknown = operation.argument, operation.result, operation.unknown
        match operation.kind:
            case "read":
                return (state,) if unknown or result == state else ()
            case "write":
                return ((version + 1, argument),) if unknown or result == version + 1 else ()
            case "cas":
                expected, value = argument
                if expected == version:
                    return ((version + 1, value),) if unknown or result == (True, version + 1) else ()
                return (state,) if unknown or result == (False, version) else ()
        raise AssertionError(operation)

    def changes(self, operation: Operation) -> bool:
        return operation.kind == "write" or (operation.kind == "cas" and bool(operation.result[0]))

    def may_lead(self, state: Versioned, operation: Operation) -> bool:
        if operation.unknown:
            return True
        match operation.kind:
            case "read":
                return bool(state[0] <= operation.result[0])
            case "write":
                return bool(state[0] < operation.result)
            case _:
                done, version = operation.result
                return bool(state[0] <= version - done)

    def spent(self, state: Versioned, operation: Operation) -> bool:
        # Versions never come again.
        return operation.kind == "cas" and bool(operation.argument[0] < state[0])

    def alike(self, history: Sequence[Operation]) -> Sequence[Operation]:
        seen = {op.result[1] for op in history if op.kind == "read" and not op.unknown}
        return [op for op in history if op.unknown and op.kind == "write" and op.argument not in seen]


class UniqueKey:
    """One key of a unique index, and who holds it, by a token that every insert has of its own.

    `insert(token) -> bool`, False where the key is taken; `lookup() -> token or None`; `delete(token) -> bool`, of that
    holder only.
    """

    initial: str | None = None

    def step(self, state: str | None, operation: Operation) -> Sequence[str | None]:
        match operation.kind:
            case "insert":
                possible, after = state is None, operation.argument
            case "delete":
                possible, after = state == operation.argument, None
            case "lookup":
                return (state,) if operation.unknown or operation.result == state else ()
            case _:
                raise AssertionError(operation)
        if operation.unknown or operation.result == possible:
            return (after,) if possible else (state,)
        return ()

    def changes(self, operation: Operation) -> bool:
        return operation.kind != "lookup" and bool(operation.result)

    def may_lead(self, state: str | None, operation: Operation) -> bool:
        return True

    def spent(self, state: str | None, operation: Operation) -> bool:
        return False

    def alike(self, history: Sequence[Operation]) -> Sequence[Operation]:
        named = {op.result for op in history if op.kind == "lookup"}
        named |= {op.argument for op in history if op.kind == "delete"}
        return [op for op in history if op.unknown and op.kind == "insert" and op.argument not in named]
