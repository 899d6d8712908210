"""The part of a history that shows what is wrong with it, as small as is cheap to find."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.nemesis.history import Operation
from tests.nemesis.linearizability import Finding, Verdict, check
from tests.nemesis.models import Model

_EARLIER = 4


@dataclass(frozen=True, slots=True)
class _From:
    """A model that begins elsewhere."""

    model: Model[Any]
    initial: Hashable

    def step(self, state: Any, operation: Operation) -> Sequence[Any]:
        return self.model.step(state, operation)

    def changes(self, operation: Operation) -> bool:
        return self.model.changes(operation)

    def may_lead(self, state: Any, operation: Operation) -> bool:
        return self.model.may_lead(state, operation)

    def spent(self, state: Any, operation: Operation) -> bool:
        return self.model.spent(state, operation)

    def alike(self, history: Sequence[Operation]) -> Sequence[Operation]:
        return self.model.alike(history)


def smallest(history: Sequence[Operation], model: Model[Any], finding: Finding[Any]) -> tuple[Any, list[Operation]]:
    """Return a state and operations from there on that cannot be explained; `finding` is what `check` said of all.

    What is cut off: everything after the return that cannot be explained, everything before the last moment at which
    there is no doubt about the state, and each operation without which it still cannot be explained. Only operations
    that change nothing are left out: without a write, its readers would be at fault for nothing.
    """
    assert finding.verdict is Verdict.NOT_LINEARIZABLE
    assert finding.at is not None
    assert finding.at.returned is not None
    start, state, left = finding.sure or (-1, model.initial, ())
    end = finding.at.returned
    part = [op for op in history if (op.invoked > start or any(op is one for one in left)) and op.invoked <= end]
    cut = _From(model, state)
    harmless = [op for op in part if op.changed_nothing and op is not finding.at]
    size = len(harmless)
    while size:
        for first in range(0, len(harmless), size):
            dropped = {id(op) for op in harmless[first : first + size]}
            fewer = [op for op in part if id(op) not in dropped]
            if check(fewer, cut).verdict is Verdict.NOT_LINEARIZABLE:
                part = fewer
        kept = {id(op) for op in part}
        harmless = [op for op in harmless if id(op) in kept]
        size //= 2
    return state, sorted(part, key=lambda op: op.invoked)


def explain(history: Sequence[Operation], model: Model[Any], finding: Finding[Any]) -> str:
    """Return what is wrong, for people."""
    assert finding.at is not None
    if finding.verdict is Verdict.UNDECIDED:
        return f"key {finding.at.key}: undecided after {finding.steps} steps ({len(history)} operations)"
    state, part = smallest(history, model, finding)
    found = sorted(map(repr, finding.before))
    states = ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
    start = finding.sure[0] if finding.sure else -1
    earlier = [op for op in history if op.returned is not None and op.returned <= start and not op.changed_nothing]
    earlier.sort(key=lambda op: op.returned or 0)
    lines = [
        f"key {finding.at.key} is not linearizable. The last changes before it is seen:",
        *(f"    {op}" for op in earlier[-_EARLIER:]),
        f"  From state {state!r}, these cannot be explained:",
        *(f"  {'>' if op is finding.at else ' '} {op}" for op in part),
        f"  Before the operation marked > the state was one of {states}",
    ]
    return "\n".join(lines)
