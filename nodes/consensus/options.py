"""How a node takes part in consensus."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from nodes.consensus.disk import Disk
from nodes.consensus.fatal import end_process
from nodes.consensus.log import SEGMENT_BYTES, Salt, random_salt

MEBIBYTE = 1 << 20


def wall_clock_ms() -> int:
    """Return Unix milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class ConsensusOptions:
    """Times, bounds and effects. The defaults are the daemon's."""

    tick_ms: int = 50
    heartbeat_ticks: int = 2
    # A follower that hears nothing campaigns after one to two times as many.
    election_ticks: int = 20

    # One log entry: so many commands, so many bytes; a bigger command goes alone.
    entry_commands: int = 1024
    entry_bytes: int = MEBIBYTE
    # Appends under way to one follower, of so many bytes at most each; a bigger entry goes alone.
    inflight_messages: int = 128
    message_bytes: int = MEBIBYTE
    # Proposals that wait for their outcome, and readers that wait for a barrier.
    waiting_proposals: int = 16_384
    waiting_bytes: int = 32 * MEBIBYTE
    waiting_readers: int = 65_536
    # How long a node that lost leadership waits to learn what became of its proposals.
    orphan_grace_s: float = 1.0

    # Committed entries handed to the applier and not applied yet.
    apply_bytes: int = 16 * MEBIBYTE
    # The log, on the disk and in memory; beyond it a follower takes no more appends, a leader no more proposals. What
    # is under way then still comes: twice `peer_inbox_bytes`, or `waiting_bytes`, at most.
    memory_bytes: int = 384 * MEBIBYTE
    peer_inbox_bytes: int = 64 * MEBIBYTE
    peer_outbox_bytes: int = 64 * MEBIBYTE

    segment_bytes: int = SEGMENT_BYTES
    # The log is compacted where it is longer than this, down to the tail that slow followers still need.
    compact_bytes: int = 64 * MEBIBYTE
    keep_bytes: int = 16 * MEBIBYTE
    # And up to here it is kept whole for followers that are alive and behind: they need what they have not got yet.
    hold_bytes: int = 256 * MEBIBYTE

    # Bytes a second of all checkpoints on their way to followers; 0: no limit.
    checkpoint_rate: int = 32 * MEBIBYTE
    # Followers that are sent one at a time; others wait.
    checkpoint_transfers: int = 2
    # Bytes of the disk that one that comes in leaves free.
    reserve_bytes: int = 0
    # How long one is kept for a follower that does not come for it.
    checkpoint_keep_s: float = 600.0
    snapshot_chunk_bytes: int = MEBIBYTE // 4
    # A chunk that does not move for so long ends the transfer; so does an installation.
    snapshot_stall_s: float = 30.0
    snapshot_install_s: float = 600.0

    # So long a node that was removed waits for a majority of the others to know it.
    departure_s: float = 30.0

    # Election priority at start; raft-rs lets a node refuse its vote to one of lower priority with an equal log.
    priority: int = 0
    disk: Disk = field(default_factory=Disk)
    new_salt: Salt = random_salt
    # Whether the disk has room for a message with entries, of so many bytes; without them it is dropped.
    takes_append: Callable[[int], bool] = lambda _: True
    # What peers are told of this node's disk.
    disk_full: Callable[[], bool] = lambda: False
    clock_ms: Callable[[], int] = wall_clock_ms
    monotonic: Callable[[], float] = time.monotonic
    # Called on any thread with what makes going on unsafe.
    on_fatal: Callable[[BaseException], None] = end_process

    @property
    def checkpoint_hold_bytes(self) -> int:
        """The log is kept for checkpoints under way up to here: the rest is for their followers to catch up in."""
        return self.hold_bytes // 4 * 3

    @property
    def most_log_bytes(self) -> int:
        """The most that the log ever takes on the disk."""
        return self.memory_bytes + 2 * self.peer_inbox_bytes

    @property
    def election_timeout_s(self) -> float:
        """The shortest election timeout."""
        return self.tick_ms * self.election_ticks / 1000
