"""Directories of nodes that stopped, with a log that goes further than what is committed or applied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from state_entries import Entry, entry, write

from nodes.consensus import initialise_log
from nodes.consensus.log import INITIAL_INDEX
from nodes.consensus.record import HardState, StoredEntry
from nodes.consensus.recovery import recover_log
from nodes.data_directory import DataDirectory
from nodes.identity import Identity, write_identity
from nodes.statemachine import ReplicatedState
from quiesce.v1.peer_pb2 import Command, LogEntry

MEMBERS = {1: "127.0.0.1:1", 2: "127.0.0.1:2", 3: "127.0.0.1:3"}


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return out + bytes((number,))


def stored(one: Entry) -> StoredEntry:
    """Return an entry as raft-rs encodes it (eraftpb.Entry); a change of the members is a ConfChangeV2's context."""
    head = b"\x10" + _varint(one.term) + b"\x18" + _varint(one.index)
    field = b"\x22"
    if any(command.HasField("change_membership") for command in LogEntry.FromString(one.data).commands):
        head, field = b"\x08\x02" + head, b"\x32"
    return StoredEntry(one.index, one.term, head + field + _varint(len(one.data)) + one.data)


def lost_node(
    directory: Path,
    *entries: Sequence[Command],
    term: int = 3,
    committed: int = 0,
    applied: int = 0,
    node_id: int = 1,
    cluster_id: str = "old",
) -> Path:
    """Make the directory of a node whose log has these entries, so many of them known to be committed, and applied."""
    data = DataDirectory(directory)
    directory.mkdir(parents=True)
    initialise_log(data.raft, voters=sorted(MEMBERS))
    log = [entry(INITIAL_INDEX + 1 + at, *commands, term=term) for at, commands in enumerate(entries)]
    opened = recover_log(data.raft).log
    opened.append(HardState(term, 0, INITIAL_INDEX + committed), [stored(one) for one in log])
    opened.close()
    if applied:
        state = ReplicatedState(directory, node_id)
        state.apply(log[:applied])
        state.close()
    write_identity(directory, Identity(node_id, cluster_id, MEMBERS))
    return directory


def tree(directory: Path) -> dict[str, bytes]:
    """Return every file of a directory; without its lock, and what RocksDB writes for people."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.name.startswith(("LOG", "lock"))
    }


__all__ = ["MEMBERS", "lost_node", "stored", "tree", "write"]
