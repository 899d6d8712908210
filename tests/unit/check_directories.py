"""The data directory of a node that was killed, with everything in it that one can have."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from salvage_directories import MEMBERS, stored
from state_entries import (
    Entry,
    alter,
    command,
    create,
    delete,
    entry,
    new_class,
    new_database,
    new_index,
    update,
    write,
)

from nodes.consensus import CommittedEntry, initialise_log
from nodes.consensus.log import INITIAL_INDEX
from nodes.consensus.record import HardState
from nodes.consensus.recovery import fit_to_store, recover_log
from nodes.data_directory import DataDirectory
from nodes.identity import Identity, write_identity
from nodes.salvage.survivor import _entries
from nodes.statemachine import ReplicatedState
from quiesce.v1 import node_pb2, peer_pb2, record_pb2

_SEGMENT_BYTES = 4096


@dataclass(frozen=True)
class Killed:
    """A directory, and all that was acknowledged there."""

    path: Path
    entries: list[Entry]
    epoch: int


def commands() -> list[list[peer_pb2.Command]]:
    """Return what the entries of the log hold."""
    founders = peer_pb2.Membership(
        nodes=[peer_pb2.Membership.Node(node_id=node, address=address) for node, address in MEMBERS.items()]
    )
    found: list[list[peer_pb2.Command]] = [
        [command(1, adopt_membership=founders)],
        [new_database(), new_database("other")],
        [
            alter(
                new_class("Person"),
                new_class("Note"),
                new_index("Person", "name"),
                new_index("Person", "town", kind="NOTUNIQUE"),
                new_index("Note", "topic", kind="DICTIONARY"),
            )
        ],
        [command(10, open_session=record_pb2.OpenSessionRequest(client="test"))],
    ]
    session = (INITIAL_INDEX + 4) << 16
    for number in range(60):
        person = create("Person", name=f"Person {number}", town=f"Town {number % 7}", text="x" * (number * 13 % 300))
        note = create("Note", topic=f"Topic {number % 9}")
        found.append([write(person, note, session_id=session, sequence=number + 1, time_ms=100 + number)])
    found.append([write(update(6, 3, b'{"@class":"Person","name":"changed"}'), delete(7, 0))])
    return found


def killed_node(directory: Path) -> Killed:
    """Make it."""
    live = directory / "live"
    data = DataDirectory(live)
    live.mkdir(parents=True)
    initialise_log(data.raft, voters=sorted(MEMBERS))
    log = recover_log(data.raft, segment_bytes=_SEGMENT_BYTES).log
    state = ReplicatedState(live, 1)
    state.on_checkpoint = lambda _, mark: data.note_mark(mark)
    write_identity(live, Identity(1, "shop", MEMBERS))
    entries: list[Entry] = []
    epoch = 0

    def put(*these: peer_pb2.Command) -> list[tuple[int, peer_pb2.Outcome]]:
        one = entry(INITIAL_INDEX + 1 + len(entries), *these, term=2)
        entries.append(one)
        log.append(HardState(2, 1, one.index), [stored(one)])
        return state.apply([CommittedEntry(one.index, one.term, one.data)])

    for number, these in enumerate(commands()):
        put(*these)
        if number in (20, 40):
            state.store.engine.flush()
        if number == 30:
            drain = node_pb2.DrainRequest(node_id=1, owner="o", reason="r", ttl_ms=10_000_000)
            epoch = put(command(200, drain=drain))[0][1].lease.epoch
            put(command(200, checkpoint=node_pb2.CheckpointRequest(epoch=epoch)))
    state.durable_index()
    # The file of a process that was killed: what it had written is there, and nothing was closed.
    killed = directory / "killed"
    shutil.copytree(live, killed, symlinks=True)
    state.close()
    log.close()
    return Killed(killed, entries, epoch)


def started(directory: Path) -> ReplicatedState:
    """Start a state as a node does, and bring it to the end of the log.

    Raises:
        QuiesceError: it refuses.
    """
    state = ReplicatedState(directory, 1)
    try:
        recovered = recover_log(directory / "raft", segment_bytes=_SEGMENT_BYTES)
        try:
            applied = fit_to_store(recovered, state.applied, str(directory / "store"))
            state.apply(_entries(recovered, applied, directory / "raft"))
        finally:
            recovered.log.close()
    except BaseException:
        state.close()
        raise
    return state
