"""Decides whether the history of one key is linearizable.

The algorithm is Lowe's just-in-time linearization ("Testing for linearizability", 2017), a form of Wing and Gong's with
memory: events are gone through in order of time, and all the configurations that explain what was seen so far are
kept. A configuration is a state and the open operations that have taken effect already. An operation is made to take
effect no earlier than the return of some operation demands it, so one with unknown outcome costs nothing until then.

The verdict follows from the history alone: what bounds the search is a count, not a clock, and a search that passes the
bound is undecided, which is no pass.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic

from tests.nemesis.history import Operation
from tests.nemesis.models import Model, S

MOST_STEPS = 2_000_000


class Verdict(Enum):
    LINEARIZABLE = "linearizable"
    NOT_LINEARIZABLE = "not linearizable"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Finding(Generic[S]):
    """A verdict; where it is not `LINEARIZABLE`, the operation at whose return it was given.

    `before` are the states that were possible then, and `sure` is the last moment before it at which there was one
    configuration only: (time, state, the open operations that had not taken effect).
    """

    verdict: Verdict
    steps: int
    at: Operation | None = None
    before: frozenset[S] = frozenset()
    sure: tuple[int, S, tuple[Operation, ...]] | None = None

    def __bool__(self) -> bool:
        return self.verdict is Verdict.LINEARIZABLE


def check(history: Sequence[Operation], model: Model[S], *, most_steps: int = MOST_STEPS) -> Finding[S]:
    """Judge the history of one key."""
    search = _Search(model, most_steps, frozenset(map(id, model.alike(history))))
    sure: tuple[int, S, tuple[Operation, ...]] | None = None
    # At equal times invocations first: the operations overlap.
    events: list[tuple[int, bool, int, Operation]] = []
    for number, operation in enumerate(history):
        events.append((operation.invoked, False, number, operation))
        if operation.returned is not None:
            events.append((operation.returned, True, number, operation))
    for time, returns, _, operation in sorted(events, key=lambda event: event[:3]):
        if not returns:
            search.invoke(operation)
            continue
        before = search.configurations
        if not search.take_return(operation):
            verdict = Verdict.UNDECIDED if search.exhausted else Verdict.NOT_LINEARIZABLE
            return Finding(verdict, search.steps, operation, frozenset(state for state, _ in before), sure)
        if len(search.configurations) == 1:
            ((state, done),) = search.configurations
            sure = time, state, tuple(op for slot, op in search.open.items() if not done >> slot & 1)
    return Finding(Verdict.LINEARIZABLE, search.steps)


@dataclass(slots=True)
class _Search(Generic[S]):
    model: Model[S]
    most_steps: int
    # Of the operations that nobody can tell apart the first one goes first.
    alike: frozenset[int]
    steps: int = 0
    exhausted: bool = False
    # Invoked and not returned, by slot; a configuration's mask has a bit a slot.
    open: dict[int, Operation] = field(default_factory=dict)
    configurations: set[tuple[S, int]] = field(default_factory=set)
    _slots: dict[int, int] = field(default_factory=dict)
    _free: list[int] = field(default_factory=list)
    # Slots of unknown operations: never free again.
    _optional: int = 0

    def __post_init__(self) -> None:
        self.configurations = {(self.model.initial, 0)}

    def invoke(self, operation: Operation) -> None:
        slot = self._free.pop() if self._free else len(self.open)
        self.open[slot] = operation
        self._slots[id(operation)] = slot
        if operation.unknown:
            self._optional |= 1 << slot

    def take_return(self, operation: Operation) -> bool:
        """Keep the configurations in which `operation` has taken effect; return whether there are any."""
        returning = 1 << self._slots.pop(id(operation))
        found = {one for one in self.configurations if one[1] & returning}
        waiting = [self._settled(*one) for one in self.configurations if not one[1] & returning]
        seen = set(waiting)
        while waiting:
            state, done = waiting.pop()
            if done & returning:
                found.add((state, done))
                continue
            for following in self._following(state, done):
                if following not in seen and self._hopeful(following, returning, operation):
                    seen.add(following)
                    waiting.append(following)
            if self.steps > self.most_steps:
                self.exhausted = True
                return False
        slot = returning.bit_length() - 1
        del self.open[slot]
        self._free.append(slot)
        self.configurations = self._undominated(
            {(state, self._spent(state, done & ~returning)) for state, done in found}
        )
        return bool(found)

    def _hopeful(self, following: tuple[S, int], returning: int, operation: Operation) -> bool:
        return bool(following[1] & returning) or self.model.may_lead(following[0], operation)

    def _following(self, state: S, done: int) -> Iterable[tuple[S, int]]:
        one_of_many = False
        for slot, operation in self.open.items():
            if done >> slot & 1:
                continue
            if id(operation) in self.alike:
                if one_of_many:
                    continue
                one_of_many = True
            self.steps += 1
            for after in self.model.step(state, operation):
                # An unknown operation that changes nothing need not have happened.
                if after != state or not operation.unknown:
                    yield self._settled(after, done | 1 << slot)

    def _settled(self, state: S, done: int) -> tuple[S, int]:
        """Let happen at once whatever can happen here and changes nothing anywhere: that closes no other way."""
        for slot, operation in self.open.items():
            if not done >> slot & 1 and not operation.unknown and not self.model.changes(operation):
                self.steps += 1
                if tuple(self.model.step(state, operation)) == (state,):
                    done |= 1 << slot
        return state, done

    def _spent(self, state: S, done: int) -> int:
        """Take the unknown operations that can change nothing any more for done."""
        for slot, operation in self.open.items():
            if operation.unknown and not done >> slot & 1 and self.model.spent(state, operation):
                done |= 1 << slot
        return done

    def _undominated(self, configurations: set[tuple[S, int]]) -> set[tuple[S, int]]:
        """Drop those that differ from another only in having used up more unknown operations for the same state."""
        if len(configurations) < 2 or not self._optional:
            return configurations
        groups: dict[tuple[S, int], list[int]] = defaultdict(list)
        for state, done in configurations:
            groups[state, done & ~self._optional].append(done & self._optional)
        kept: set[tuple[S, int]] = set()
        for (state, certain), used in groups.items():
            least: list[int] = []
            for mask in sorted(used, key=int.bit_count):
                if not any(mask & smaller == smaller for smaller in least):
                    least.append(mask)
            kept.update((state, certain | mask) for mask in least)
        return kept


def by_key(history: Iterable[Operation]) -> dict[str, list[Operation]]:
    """Split a history: it is linearizable if that of every key is (Herlihy and Wing's locality)."""
    keys: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        keys[operation.key].append(operation)
    return dict(keys)
