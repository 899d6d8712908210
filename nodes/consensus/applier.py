"""The applier: one thread that brings committed entries to the state machine."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from nodes.consensus.interface import CommittedEntry, StateMachine
from quiesce.v1.peer_pb2 import Membership, Outcome

Outcomes = Sequence[tuple[int, Outcome]]
# (index, membership, outcomes): who belongs as of an index that is applied, and whom to tell of it afterwards.
OnMembership = Callable[[int, Membership | None, Outcomes], None]
_NEVER = 1 << 64
# Batches that wait are applied as one up to here: the store's write costs more a batch than a byte.
_MERGED_BYTES = 1 << 20
_STOP_TIMEOUT_S = 10.0


class _Batch(NamedTuple):
    entries: Sequence[CommittedEntry]
    size: int


class _Install(NamedTuple):
    directory: Path
    done: Callable[[], None]


class _AskDurable(NamedTuple):
    answer: Callable[[int], None]


_Item = _Batch | _Install | _AskDurable | None


class Applier:
    """Applies in order; tells outcomes as they come, and wakes the Raft thread where that waits for it.

    Its queue is bounded in bytes by `has_room`, which whoever submits must ask.
    """

    def __init__(
        self,
        state: StateMachine,
        applied: int,
        *,
        most_bytes: int,
        on_outcomes: Callable[[Outcomes], None],
        on_membership: OnMembership,
        wake: Callable[[], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._state = state
        # The index that is applied; written by this thread alone.
        self.applied = applied
        self._most_bytes = most_bytes
        self._on_outcomes = on_outcomes
        self._on_membership = on_membership
        self._membership = state.membership
        self._wake = wake
        self._on_fatal = on_fatal
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        # At most one item, taken from the queue too early.
        self._put_back: list[_Item] = []
        self._submitted = 0
        self._finished = 0
        self._wake_at = _NEVER
        self._room_wanted = False
        # Made by start: whoever calls `step` by himself has none.
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="quiesce-applier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what was submitted, then end; a store that hangs is not waited for."""
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)

    def has_room(self) -> bool:
        """Say whether more may be submitted; where not, the wake comes when there is room again."""
        if self._submitted - self._finished < self._most_bytes:
            return True
        self._room_wanted = True
        # The last batch may have been finished just before the flag was set.
        return self._submitted == self._finished

    def submit(self, entries: Sequence[CommittedEntry], size: int) -> None:
        """Queue entries that follow those before, of `size` bytes together."""
        self._submitted += size
        self._queue.put(_Batch(entries, size))

    def install(self, directory: Path, done: Callable[[], None]) -> None:
        """Queue a checkpoint to replace the state; `done` is called on the applier's thread."""
        self._queue.put(_Install(directory, done))

    def ask_durable(self, answer: Callable[[int], None]) -> None:
        """Have what is applied brought to the disk; `answer` is called on the applier's thread."""
        self._queue.put(_AskDurable(answer))

    def wake_when_applied(self, index: int | None) -> None:
        """Ask for a wake as soon as `index` is applied; None: no more."""
        self._wake_at = _NEVER if index is None else index

    @property
    def idle(self) -> bool:
        """Whether `step` would have to wait."""
        return not self._put_back and self._queue.empty()

    def step(self) -> bool:
        """Do what comes next, waiting for it where there is nothing; return False where that was to stop.

        What it raises leaves the state in the middle: nothing can go on after it.
        """
        match item := self._next():
            case _Batch():
                self._apply(self._merged(item))
            case _Install():
                self._state.install(item.directory)
                self.applied = max(self.applied, self._state.applied[0])
                self._tell_membership(())
                item.done()
            case _AskDurable():
                item.answer(self._state.durable_index())
        return item is not None

    def _run(self) -> None:
        try:
            while self.step():
                pass
        except BaseException as error:  # noqa: BLE001 - half an entry may be applied: nothing can go on
            self._on_fatal(error)

    def _apply_group(self, entries: Sequence[CommittedEntry], *, changes_members: bool) -> None:
        outcomes = self._state.apply(entries)
        self.applied = entries[-1].index
        if changes_members or self._state.membership != self._membership:
            self._tell_membership(outcomes)
        elif outcomes:
            self._on_outcomes(outcomes)

    def _tell_membership(self, outcomes: Outcomes) -> None:
        self._membership = self._state.membership
        self._on_membership(self.applied, self._membership, outcomes)

    def _next(self) -> _Item:
        if self._put_back:
            return self._put_back.pop()
        return self._queue.get()

    def _merged(self, first: _Batch) -> _Batch:
        entries, size = list(first.entries), first.size
        while size < _MERGED_BYTES and not self._queue.empty():
            item = self._queue.get()
            if not isinstance(item, _Batch):
                self._put_back.append(item)
                break
            entries.extend(item.entries)
            size += item.size
        return _Batch(entries, size)

    def _apply(self, batch: _Batch) -> None:
        entries = batch.entries
        if entries[0].index <= self.applied:
            # A checkpoint that was installed meanwhile has these already.
            entries = [entry for entry in entries if entry.index > self.applied]
        if entries:
            if entries[0].index != self.applied + 1:
                raise AssertionError(f"entry {entries[0].index} was to be applied after entry {self.applied}")
            # A change of the membership is applied by itself, so that what it comes to is known as of its index.
            for alone, group in itertools.groupby(entries, lambda entry: entry.changes_members and entry.index):
                self._apply_group(list(group), changes_members=bool(alone))
        self._finished += batch.size
        if self.applied >= self._wake_at or self._room_wanted:
            self._room_wanted = False
            self._wake()
