"""What clients asked and were told, checked for linearizability as it comes.

The order of the log is the order in which everything must appear to have happened. So it is enough that it agrees with
real time and with what every client saw: who began after somebody had been told of index I is told of a later index, if
he writes, or of none before I, if he reads; and a state read at index I is the one that the entries up to I make.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.simulation.violation import require

Rid = tuple[int, int]


@dataclass(slots=True)
class _Versions:
    """The life of a record: at which index it had which version and body; None from its deletion on."""

    indexes: list[int] = field(default_factory=list)
    states: list[tuple[int, bytes] | None] = field(default_factory=list)


class Truth:
    """The records as the log makes them."""

    def __init__(self) -> None:
        self._records: dict[Rid, _Versions] = {}

    def change(self, rid: Rid, index: int, state: tuple[int, bytes] | None) -> None:
        """Take a change of a record, in the order of the log."""
        versions = self._records.setdefault(rid, _Versions())
        if versions.indexes and index < versions.indexes[-1]:
            return
        versions.indexes.append(index)
        versions.states.append(state)

    def at(self, rid: Rid, index: int) -> tuple[int, bytes] | None:
        """Return version and body that a record has at an index of the log."""
        versions = self._records.get(rid)
        if versions is None:
            return None
        found = bisect.bisect_right(versions.indexes, index)
        return versions.states[found - 1] if found else None

    def within(self, rid: Rid, after: int, index: int) -> list[tuple[int, bytes] | None]:
        """Return what a record is as of `after`, and whatever it became behind that and up to `index`."""
        versions = self._records.get(rid)
        found = [self.at(rid, after)]
        if versions is not None:
            first, last = (bisect.bisect_right(versions.indexes, place) for place in (after, index))
            found += versions.states[first:last]
        return found

    def rids(self) -> Iterable[Rid]:
        """Return all records that ever were."""
        return self._records.keys()


class History:
    """See the module."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        # The greatest index that any client was told of.
        self.acknowledged = 0
        self.writes = self.reads = self.stale_reads = self.unknown = self.refusals = 0
        # By record: the greatest version that any client was told of.
        self._versions: dict[Rid, int] = {}
        self._written: set[tuple[Rid, int]] = set()

    def begin(self) -> tuple[int, dict[Rid, int]]:
        """Return what the operation that begins now has to see."""
        return self.acknowledged, dict(self._versions)

    def wrote(self, began: tuple[int, Mapping[Rid, int]], index: int, written: Iterable[tuple[Rid, int]]) -> None:
        """Take the success of a write: its index, and the versions that it made."""
        self.writes += 1
        require(index > began[0], f"a write took effect at {index}, and began after {began[0]} had been acknowledged")
        for rid, version in written:
            require((rid, version) not in self._written, f"two writes made version {version} of {rid}")
            self._written.add((rid, version))
            least = began[1].get(rid, 0)
            require(version > least, f"a write made version {version} of {rid}, and began when {least} was known")
            self._versions[rid] = max(self._versions.get(rid, 0), version)
        self.acknowledged = max(self.acknowledged, index)

    def saw_version(self, began: tuple[int, Mapping[Rid, int]], rid: Rid, version: int) -> None:
        """Take that a refusal named the version of a record."""
        least = began[1].get(rid, 0)
        require(version >= least, f"a write met version {version} of {rid}, and began when {least} was known")
        self._versions[rid] = max(self._versions.get(rid, 0), version)

    def read(
        self,
        began: tuple[int, Mapping[Rid, int]] | None,
        applied: int,
        index: int,
        found: Mapping[Rid, tuple[int, bytes] | None],
    ) -> None:
        """Take what a read found at an index; `began` is None for a stale one.

        Where `applied` is less, the node is in the middle of the entry behind it.
        """
        for rid, state in found.items():
            true = self.truth.within(rid, applied, index)
            require(state in true, f"a read at {index} found {rid} as {state}, and it was {true}")
        if began is None:
            self.stale_reads += 1
            return
        self.reads += 1
        require(index >= began[0], f"a read saw {index}, and began after {began[0]} had been acknowledged")
        for rid, state in found.items():
            if state is not None:
                require(state[0] >= began[1].get(rid, 0), f"a read saw version {state[0]} of {rid}: too old")
                self._versions[rid] = max(self._versions.get(rid, 0), state[0])
        self.acknowledged = max(self.acknowledged, index)
