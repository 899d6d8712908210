"""What a stopped node's directory holds, read without changing any of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from nodes.consensus import CommittedEntry
from nodes.consensus.record import Point
from nodes.consensus.recovery import RecoveredLog, fit_to_store, recover_log
from nodes.data_directory import DataDirectory
from nodes.identity import Identity, read_identity
from nodes.salvage.untouched import UntouchedDisk
from nodes.store import CheckpointReader
from nodes.store.current import directory_in_use
from quiesce._native import RaftCore
from quiesce.errors import DamagedLog, FileUnusable
from quiesce.v1.peer_pb2 import LogEntry

_EVERYTHING = 1 << 62


@dataclass(frozen=True, slots=True)
class Survivor:
    """A node as its directory knows it.

    `last` is the end of its log, the greatest term and index it ever acknowledged. Up to `committed` a majority is
    known to have had the entries; behind that nobody can tell from here. `term` is the greatest that it took part in.
    """

    identity: Identity
    # Address by id, this node's among them, as far as its store knows; removed nodes are in it no more.
    members: Mapping[int, str]
    # Where RocksDB's files are; None where nothing was ever applied.
    store: Path | None
    last: Point
    committed: int
    applied: int
    term: int
    # Behind what is applied, in order.
    entries: Sequence[CommittedEntry]

    @property
    def others(self) -> Mapping[int, str]:
        """Addresses of the other members."""
        return {node: address for node, address in self.members.items() if node != self.identity.node_id}

    @property
    def address(self) -> str:
        """Where it was reached; empty where its own store does not know it as a member any more."""
        return self.members.get(self.identity.node_id, "")

    @property
    def uncertain_commands(self) -> int:
        """How many commands stand behind what is known to be committed."""
        tail = [entry for entry in self.entries if entry.index > self.committed and entry.data]
        return sum(len(LogEntry.FromString(entry.data).commands) for entry in tail)


def identity_of(directory: Path) -> Identity:
    """Return whose directory it is.

    Raises:
        FileUnusable: it holds no node.
        DamagedStore: its identity cannot be understood.
    """
    identity = read_identity(directory)
    if identity is None:
        raise FileUnusable(file=directory, detail="it is not the data directory of a node")
    return identity


def read_survivor(directory: Path) -> Survivor:
    """Read the directory of a node that does not run; the caller holds its lock.

    Raises:
        FileUnusable: it holds no node.
        DamagedLog, DamagedStore: it is damaged, as a start of the node would find it.
        DiskFailed: it cannot be read.
    """
    identity = identity_of(directory)
    data = DataDirectory(directory)
    store = directory_in_use(data.store)
    stored, members = (0, 0), dict(identity.members)
    if store is not None and store.exists():
        # The log has what a crash has cut off the store's own.
        with CheckpointReader(store, whole=False) as reader:
            stored = reader.applied
            if reader.membership is not None:
                members = {node.node_id: node.address for node in reader.membership.nodes}
    else:
        store = None
    recovered = recover_log(data.raft, disk=UntouchedDisk())
    try:
        applied = fit_to_store(recovered, stored, str(data.store))
        hard = recovered.log.state.hard_state
        entries = _entries(recovered, applied, data.raft)
    finally:
        recovered.log.close()
    return Survivor(
        identity=identity,
        members=members,
        store=store,
        last=recovered.last,
        committed=max(hard.commit, applied),
        applied=applied,
        term=max(hard.term, recovered.last.term),
        entries=entries,
    )


def _entries(recovered: RecoveredLog, applied: int, raft: Path) -> list[CommittedEntry]:
    """Return what the state machine has not applied, whether it is committed or not."""
    state, last = recovered.log.state, recovered.last
    # Only to decode them: it never takes part in anything.
    core = RaftCore(
        node_id=1,
        applied=applied,
        hard_state=(max(state.hard_state.term, last.term), 0, last.index),
        voters=[1],
        learners=[],
        base=(state.base.index, state.base.term),
        entries=[entry.data for entry in recovered.entries],
        election_tick=10,
        heartbeat_tick=1,
        max_size_per_msg=1,
        max_inflight_msgs=1,
    )
    if applied == last.index:
        return []
    found = [CommittedEntry(*entry) for entry in core.entries(applied + 1, last.index + 1, _EVERYTHING)]
    for entry in found:
        try:
            LogEntry.FromString(entry.data)
        except DecodeError as error:
            raise DamagedLog(file=raft, byte=0, detail=f"entry {entry.index}: {error}") from error
    return found
