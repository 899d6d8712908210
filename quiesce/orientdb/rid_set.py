"""The ids of all records of an export, in little memory."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise
from typing import Any


class DuplicateRecord(ValueError):
    """A record id is there twice: `#cluster:position`."""


class RidSet:
    """Record ids as runs of consecutive positions by cluster: 24 bytes a run, and exports have long runs.

    Add all, then `close`, then ask.
    """

    def __init__(self) -> None:
        self._starts: dict[int, array[int]] = {}
        self._ends: dict[int, array[int]] = {}
        # How many ids of the cluster are below each run.
        self._below: dict[int, array[int]] = {}
        self._cluster = -1
        self._start = 0
        self._next = 0

    def add(self, records: Iterable[tuple[int, int, *tuple[Any, ...]]]) -> None:
        """Add ids, or the ids of records, which begin with theirs. Raises DuplicateRecord, at the latest in `close`."""
        cluster, following = self._cluster, self._next
        for record in records:
            position = record[1]
            if position == following and record[0] == cluster:
                following += 1
                continue
            self._next = following
            self._end_run()
            if record[0] == cluster and position == following - 1:
                raise DuplicateRecord(f"#{cluster}:{position}")
            cluster = self._cluster = record[0]
            self._start, following = position, position + 1
        self._next = following

    def _end_run(self) -> None:
        if self._cluster >= 0:
            self._starts.setdefault(self._cluster, array("Q")).append(self._start)
            self._ends.setdefault(self._cluster, array("Q")).append(self._next)

    def close(self) -> None:
        """Make the set ready to be asked. Raises DuplicateRecord."""
        self._end_run()
        self._cluster = -1
        for cluster in self._starts:
            self._sort(cluster)
            starts = iter(self._starts[cluster])
            next(starts)
            for end, start in zip(self._ends[cluster], starts, strict=False):
                if start < end:
                    raise DuplicateRecord(f"#{cluster}:{start}")
            lengths = (end - start for start, end in zip(self._starts[cluster], self._ends[cluster], strict=True))
            self._below[cluster] = array("Q", accumulate(lengths, initial=0))

    def _sort(self, cluster: int) -> None:
        starts, ends = self._starts[cluster], self._ends[cluster]
        if any(a > b for a, b in pairwise(starts)):
            order = sorted(range(len(starts)), key=starts.__getitem__)
            self._starts[cluster] = array("Q", [starts[i] for i in order])
            self._ends[cluster] = array("Q", [ends[i] for i in order])

    def __contains__(self, rid: tuple[int, int]) -> bool:
        starts = self._starts.get(rid[0])
        if starts is None:
            return False
        run = bisect_right(starts, rid[1]) - 1
        return run >= 0 and rid[1] < self._ends[rid[0]][run]

    def runs(self, clusters: Iterable[int]) -> dict[int, tuple[array[int], array[int]]]:
        """Return where the runs of clusters start and end, ascending."""
        return {one: (self._starts[one], self._ends[one]) for one in clusters if one in self._starts}

    def rank(self, rid: tuple[int, int]) -> int:
        """Return how many ids of its cluster are below an id that is in the set."""
        starts = self._starts[rid[0]]
        run = bisect_right(starts, rid[1]) - 1
        return self._below[rid[0]][run] + rid[1] - starts[run]

    def end(self, cluster: int) -> int:
        """Return one more than the greatest position of a cluster, 0 where it has none."""
        ends = self._ends.get(cluster)
        return ends[-1] if ends else 0

    def counts(self) -> dict[int, int]:
        """Return the number of records by cluster."""
        return {cluster: sum(self._ends[cluster]) - sum(starts) for cluster, starts in self._starts.items()}

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for cluster in sorted(self._starts):
            for start, end in zip(self._starts[cluster], self._ends[cluster], strict=True):
                for position in range(start, end):
                    yield cluster, position
