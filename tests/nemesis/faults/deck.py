"""Which faults, when: drawn by a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

from tests.nemesis.faults.fault import Fault
from tests.nemesis.faults.links import CutClients, Halves, IsolateLeader, OneWay, Slow
from tests.nemesis.faults.members import Replace
from tests.nemesis.faults.processes import Kill, Pause, Restart, Transfer

FAULTS: dict[str, Callable[[], Fault]] = {
    "kill one": lambda: Kill("one"),
    "kill a minority": lambda: Kill("minority"),
    "kill the leader": lambda: Kill("leader"),
    "kill all": lambda: Kill("all"),
    "restart all": lambda: Restart("all"),
    "pause one": lambda: Pause("one"),
    "pause a minority": lambda: Pause("minority"),
    "pause the leader": lambda: Pause("leader"),
    "partition": Halves,
    "isolate the leader": IsolateLeader,
    "lose from the leader": lambda: OneWay("from", "leader"),
    "lose to the leader": lambda: OneWay("to", "leader"),
    "lose from one": lambda: OneWay("from", "one"),
    "lose to one": lambda: OneWay("to", "one"),
    "cut clients from the leader": CutClients,
    "slow leader": lambda: Slow("leader"),
    "slow one": lambda: Slow("one"),
    "transfer leadership": Transfer,
    "replace one": lambda: Replace("one"),
    "replace the leader": lambda: Replace("leader"),
}
_SECOND = 0.25
_IMPATIENT = 0.2
# Most faults are short, so that there are many; a few last until connections are given up.
_HOLD_S, _LONG_S, _LONG = (0.5, 4.0), (8.0, 20.0), 0.15


@dataclass(frozen=True, slots=True)
class Step:
    """A fault or two, for how long, how long it is quiet then, and whether the cluster gets the time to recover."""

    number: int
    faults: tuple[str, ...]
    hold_s: float
    rest_s: float
    patient: bool


def _fitting(first: str, names: Iterable[str]) -> list[str]:
    """Return what can come at the same time as `first`: there is one free place for a new node, not two."""
    one = [name for name in FAULTS if name.startswith("replace")]
    return [name for name in names if name != first and not (name in one and first in one)]


def steps(rng: Random, names: list[str] | None = None) -> Iterator[Step]:
    """Yield steps for ever: each fault once before any comes again, so that a short run has them all."""
    deck: list[str] = []
    number = 0
    while True:
        if not deck:
            deck = list(names or FAULTS)
            rng.shuffle(deck)
        chosen = [deck.pop()]
        # Never two at once before each was seen alone.
        hold = _HOLD_S
        if number >= len(names or FAULTS):
            if rng.random() < _SECOND:
                chosen += [rng.choice(fitting)] if (fitting := _fitting(chosen[0], names or FAULTS)) else []
            if rng.random() < _LONG:
                hold = _LONG_S
        number += 1
        yield Step(number, tuple(chosen), rng.uniform(*hold), rng.uniform(0.2, 2.0), rng.random() >= _IMPATIENT)
