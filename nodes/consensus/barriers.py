"""Read barriers: many readers share one read-index round of Raft (dissertation, section 6.4). Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Waiter(Protocol):
    """Whoever waits; one that is done has given up."""

    def done(self) -> bool:
        """Say whether nobody waits any more."""
        ...


W = TypeVar("W", bound=Waiter)


@dataclass(slots=True)
class _Round(Generic[W]):
    readers: list[W]
    asked_at: int


@dataclass(order=True, slots=True)
class _Ready(Generic[W]):
    index: int
    order: int
    readers: list[W] = field(compare=False)


class ReadBarriers(Generic[W]):
    """Readers on their way: waiting for a round, in a round, or for the round's index to be applied.

    `context` returns a value that no other node and no earlier life of this one has used: the leader tells rounds
    apart by it.
    """

    # More rounds under way only cost heartbeats; readers that come meanwhile share the next.
    MOST_ROUNDS = 8

    def __init__(self, context: Callable[[], bytes], *, retry_ticks: int) -> None:
        self._context = context
        self._retry_ticks = retry_ticks
        self._waiting: list[W] = []
        self._rounds: dict[bytes, _Round[W]] = {}
        self._ready: list[_Ready[W]] = []
        self._order = 0

    def add(self, reader: W) -> None:
        """Take a reader; it joins the next round, never one that was asked already."""
        self._waiting.append(reader)

    def contexts(self, tick: int) -> list[bytes]:
        """Return the contexts to ask for at `tick`: of a new round, and of those that have had no answer for long.

        raft-rs drops a request in silence where there is no leader, or one that has committed nothing in its term.
        Asking again with the same context lets a late answer to the first still count.
        """
        asked: list[bytes] = []
        for context, one in list(self._rounds.items()):
            if tick - one.asked_at >= self._retry_ticks:
                one.readers = [reader for reader in one.readers if not reader.done()]
                if not one.readers:
                    del self._rounds[context]
                    continue
                one.asked_at = tick
                asked.append(context)
        if self._waiting and len(self._rounds) < self.MOST_ROUNDS:
            context = self._context()
            self._rounds[context] = _Round(self._waiting, tick)
            self._waiting = []
            asked.append(context)
        return asked

    def answered(self, context: bytes, index: int) -> None:
        """Take the answer to a round; it covers the rounds that were begun before it as well."""
        if context not in self._rounds:
            return
        readers: list[W] = []
        for earlier in list(self._rounds):
            readers.extend(self._rounds.pop(earlier).readers)
            if earlier == context:
                break
        self._order += 1
        heapq.heappush(self._ready, _Ready(index, self._order, readers))

    def applied(self, index: int) -> list[W]:
        """Return the readers whose index is applied now that `index` is."""
        released: list[W] = []
        while self._ready and self._ready[0].index <= index:
            released.extend(heapq.heappop(self._ready).readers)
        return released

    @property
    def next_index(self) -> int | None:
        """The least index that a reader waits to see applied."""
        return self._ready[0].index if self._ready else None
