"""Makes a new cluster of one from what a survivor holds."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nodes.consensus import INDEX_STEP, initialise_log
from nodes.data_directory import DataDirectory
from nodes.identity import Identity, write_identity
from nodes.salvage.store_files import take_over
from nodes.salvage.survivor import Survivor
from nodes.statemachine import ReplicatedState
from nodes.store.engine import FAMILIES
from nodes.store.keys import after
from nodes.store.store import Store
from quiesce.errors import disk_failed
from quiesce.v1.peer_pb2 import Membership

_BATCH = 1_000
_REPORT_EVERY = 10_000
# The state is nobody's while it is brought forward: a lease in the log is never this node's, and makes no checkpoint.
_NOBODY = 0


@dataclass(frozen=True, slots=True)
class SalvageReport:
    """The new cluster, and from where its log goes on."""

    identity: Identity
    index: int
    term: int


def salvage(
    survivor: Survivor,
    target: Path,
    *,
    cluster_id: str,
    node_id: int,
    address: str,
    progress: Callable[[int], None] = lambda _: None,
) -> SalvageReport:
    """Make `target` the directory of the only member of a new cluster that holds all that the survivor's log holds.

    Entries that a majority may never have had are applied as well: acknowledged writes may be among them. Rotation
    leases end; sessions stay, so a write that is sent again is still applied once. The survivor's directory stays as
    it is. The caller holds the locks of both. `progress` is told how many keys have been read back.

    Until the end a crash leaves a directory that no daemon takes for a node, and that another run throws away; a
    failure leaves an empty one.

    Raises:
        DirectoryNotEmpty: there is something in `target`.
        DamagedStore: the survivor's store does not read back whole.
        DiskFailed: the disk refused.
    """
    identity = Identity(node_id, cluster_id, {node_id: address})
    index, term = survivor.last.index + INDEX_STEP, survivor.term + 1
    data = DataDirectory(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        data.begin()
    except OSError as error:
        raise disk_failed("salvage", target, error) from error
    try:
        if survivor.store is not None:
            take_over(survivor.store, data.store / "store-1")
        sole = Membership(nodes=[Membership.Node(node_id=node_id, address=address)])
        _bring_forward(data, survivor, index, term, sole)
        _read_back(data, progress)
        initialise_log(data.raft, index=index, term=term, voters=[node_id])
        write_identity(data.path, identity)
        data.finished()
    except BaseException as error:
        # RocksDB lets go of its files once nobody holds an iterator any more; the frames of the traceback would.
        traceback.clear_frames(error.__traceback__)
        data.begin()
        data.finished()
        if isinstance(error, OSError):
            raise disk_failed("salvage", target, error) from error
        raise
    return SalvageReport(identity, index, term)


def _bring_forward(data: DataDirectory, survivor: Survivor, index: int, term: int, members: Membership) -> None:
    state = ReplicatedState(data.path, _NOBODY)
    try:
        for first in range(0, len(survivor.entries), _BATCH):
            state.apply(survivor.entries[first : first + _BATCH])
        state.begin_anew(index, term, members)
    finally:
        state.close()


def _read_back(data: DataDirectory, progress: Callable[[int], None]) -> None:
    """Read every block once: damage must be known while there may be another survivor or a backup to turn to."""
    store = Store(data.store)
    seen = 0
    try:
        for family in FAMILIES:
            for _ in store.engine.scan(family, b"", after(b"")):
                seen += 1
                if seen % _REPORT_EVERY == 0:
                    progress(seen)
    finally:
        store.close()
    progress(seen)
