"""The state machine under the log: applies committed entries to the store, exactly once, each as a whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from google.protobuf.message import DecodeError

from nodes.consensus.interface import CheckpointMade
from nodes.statemachine import membership
from nodes.statemachine.checkpoints import Checkpoints
from nodes.statemachine.commands import Place, apply_command
from nodes.statemachine.working import Working
from nodes.store.files import Files
from nodes.store.store import Store
from quiesce.errors import DamagedStore
from quiesce.failpoints import reach
from quiesce.v1.node_pb2 import Mark, RotationLease
from quiesce.v1.peer_pb2 import LogEntry, Membership, Outcome

# What is applied is written at the latest after so many bytes of entries.
FLUSH_BYTES = 8 << 20
# And in the middle of one after so many bytes of index keys.
FLUSH_INDEX_BYTES = 32 << 20
# And brought to the disk after so many: what a machine that lost its power has to apply again when it starts.
SYNC_ENTRIES = 65_536
SYNC_BYTES = 16 << 20


class Entry(Protocol):
    """A committed entry of the log; `data` is an encoded LogEntry, or empty."""

    @property
    def index(self) -> int: ...  # noqa: D102
    @property
    def term(self) -> int: ...  # noqa: D102
    @property
    def data(self) -> bytes: ...  # noqa: D102


class ReplicatedState:
    """The state machine in `<directory>/store`, with its checkpoints in `<directory>/checkpoints`.

    `apply`, `install` and `durable_index` are for one thread, the applier; `checkpoint` and the store's views for any.
    The callbacks run on the applier's thread, when what they tell of is in the store.

    Raises:
        DirectoryInUse, DamagedStore, DiskFailed: the store cannot be opened.
    """

    def __init__(self, directory: Path, node_id: int, files: Files | None = None) -> None:
        files = files or Files()
        self.node_id = node_id
        self.on_lease_changed: Callable[[RotationLease | None], None] = lambda _: None
        self.on_checkpoint: Callable[[int, Mark], None] = lambda _, __: None
        # Whether this node has room for a checkpoint that it is to attest; one of its own lease it takes in any case.
        self.may_attest: Callable[[], bool] = lambda: True
        self.store = Store(directory / "store", files)
        self.checkpoints = Checkpoints(directory / "checkpoints", files)
        # Held while entries are applied: a checkpoint for another node falls between two calls.
        self._lock = threading.Lock()
        self._working = Working(self.store)
        # That of a checkpoint to be taken when its entry is applied.
        self._mark: Mark | None = None
        # Applied since the store was last brought to the disk.
        self._unsynced_entries = 0
        self._unsynced_bytes = 0
        self._lease_seen = self.store.state.lease
        self.checkpoints.remove_others(self._epoch())

    @property
    def applied(self) -> tuple[int, int]:
        """Index and term of the last entry whose effects are all in the store."""
        return self.store.state.applied

    @property
    def membership(self) -> Membership | None:
        """Who belongs to the cluster as of what is applied; None where nobody has said yet. Not to be changed."""
        return self.store.state.membership

    def apply(self, entries: Sequence[Entry]) -> list[tuple[int, Outcome]]:
        """Apply entries in order and return the outcome of each command by its proposal id.

        Entries that are applied already are passed over.

        Raises:
            DamagedStore: an entry is missing before these, or cannot be read; or the store is damaged.
            DiskFailed: the disk answers with an error, or is full. The state is to be opened anew after both.
        """
        outcomes: list[tuple[int, Outcome]] = []
        with self._lock:
            unwritten = 0
            for entry in entries:
                if entry.index <= self._working.state.applied[0]:
                    continue
                self._apply_entry(entry, outcomes)
                unwritten += len(entry.data)
                self._unsynced_entries += 1
                self._unsynced_bytes += len(entry.data)
                if self._mark is not None:
                    self._take_checkpoint()
                    unwritten = 0
                elif unwritten >= FLUSH_BYTES:
                    self._working.flush()
                    unwritten = 0
            if self._working.state is not self.store.state:
                self._working.flush()
        if self._unsynced_entries >= SYNC_ENTRIES or self._unsynced_bytes >= SYNC_BYTES:
            self.durable_index()
        self._tell_lease()
        return outcomes

    def checkpoint(self, directory: Path) -> CheckpointMade:
        """Make `directory`, which must not exist, a copy of the store for another node.

        Raises:
            DiskFailed: the disk answers with an error, or is full.
        """
        with self._lock:
            self.store.checkpoint(directory)
            return CheckpointMade(*self.store.state.applied, self.membership)

    def install(self, directory: Path) -> None:
        """Take over such a copy, which is moved from where it is; views that are open finish on the old state.

        Raises:
            DamagedStore: it is not one; the old state stays.
            DiskFailed: the disk answers with an error, or is full.
        """
        with self._lock:
            self.store.replace(directory)
            self._working = Working(self.store)
            self._mark = None
        self._tell_lease()
        self.checkpoints.remove_others(self._epoch())

    def begin_anew(self, index: int, term: int, members: Membership) -> None:
        """Make what is here the first state of a new cluster, as of (`index`, `term`), with nobody out of rotation.

        Raises:
            DiskFailed: the disk answers with an error, or is full.
        """
        with self._lock:
            self._working.set_lease(None)
            self._working.set_membership(members)
            self._working.advance(index, term)
            self._working.flush()
        self._tell_lease()

    def durable_index(self) -> int:
        """Make all that is applied durable, and return its index: the log is needed behind it only.

        Raises:
            DiskFailed: the disk answers with an error.
        """
        index = self.store.state.applied[0]
        self.store.engine.sync()
        self._unsynced_entries = self._unsynced_bytes = 0
        return index

    def close(self) -> None:
        """Make everything durable and close the store."""
        with self._lock:
            self.store.close()

    def _apply_entry(self, entry: Entry, outcomes: list[tuple[int, Outcome]]) -> None:
        working = self._working
        done = working.state.commands_done
        last = working.state.applied[0]
        if last and entry.index != last + 1:
            raise DamagedStore(path=self.store.directory, detail=f"entry {last + 1} is missing before {entry.index}")
        try:
            commands = LogEntry.FromString(entry.data).commands if entry.data else ()
        except DecodeError as error:
            raise DamagedStore(path=self.store.directory, detail=f"entry {entry.index}: {error}") from error
        after_drain = False
        for number, command in enumerate(commands):
            place = Place(entry.index, entry.term, number, after_drain)
            after_drain = after_drain or command.HasField("drain")
            # The first ones are in the store already if a crash came between two parts of an entry.
            if number < done:
                continue
            outcome = apply_command(working, command, place)
            outcomes.append((command.proposal_id, outcome))
            if outcome.HasField("mark") and (self._is_out() or (command.checkpoint.attest and self._attests())):
                self._mark = outcome.mark
            if working.pending.index_bytes >= FLUSH_INDEX_BYTES:
                working.flush(commands_done=number + 1)
        working.advance(entry.index, entry.term)
        if self._mark is not None and self._epoch() != self._mark.epoch:
            self._mark = None

    def _take_checkpoint(self) -> None:
        """Write the state as of the mark, all of its entry and nothing after it, and keep it under its epoch."""
        mark, self._mark = self._mark, None
        self._working.flush()
        if mark is not None:
            reach("node.mark.applied")
            self.checkpoints.take(self.store, mark.epoch)
            reach("node.checkpoint.taken")
            self.on_checkpoint(mark.epoch, mark)
            reach("node.checkpoint.noted")

    def _epoch(self) -> int | None:
        """Return the epoch of the lease, whoever holds it: checkpoints go with it."""
        lease = self._working.state.lease
        return lease.epoch if lease is not None else None

    def _is_out(self) -> bool:
        lease = self._working.state.lease
        return lease is not None and lease.node_id == self.node_id

    def _attests(self) -> bool:
        """Return whether this node keeps what another's snapshot is compared with."""
        members = self._working.state.membership
        return (members is None or self.node_id in membership.voters(members)) and self.may_attest()

    def _tell_lease(self) -> None:
        lease = self.store.state.lease
        if lease is self._lease_seen:
            return
        self._lease_seen = lease
        self.checkpoints.remove_others(self._epoch())
        self.on_lease_changed(lease)
