from array import array
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, final

# Roles are the numbers of quiesce.v1.NodeRole: 1 follower, 2 candidate, 3 leader.

@final
class Ready:
    messages: list[tuple[int, bytes]]
    snapshots: list[tuple[int, int, bytes]]
    persisted_messages: list[tuple[int, bytes]]
    entries: list[tuple[int, int, bytes]]
    hard_state: tuple[int, int, int] | None
    must_sync: bool
    committed: int
    read_states: list[tuple[int, bytes]]
    snapshot: tuple[int, int, bytes, list[int], list[int]] | None
    soft_state: tuple[int, int] | None
    commit_first: bool

@final
class LightReady:
    messages: list[tuple[int, bytes]]
    snapshots: list[tuple[int, int, bytes]]
    committed: int
    commit: int | None
    commit_first: bool

@final
class Status:
    term: int
    vote: int
    commit: int
    applied: int
    first_index: int
    last_index: int
    leader: int
    role: int
    transferee: int
    bytes: int
    progress: list[tuple[int, int, int, bool]]
    voters: list[int]
    learners: list[int]
    changing: bool

class LogCutShort(Exception):
    """A leader counts on entries that this node acknowledged and does not have: (leader, index, last index here)."""

    args: tuple[int, int, int]

@final
class RaftCore:
    def __new__(
        cls,
        *,
        node_id: int,
        applied: int,
        hard_state: tuple[int, int, int],
        voters: list[int],
        learners: list[int],
        base: tuple[int, int],
        entries: list[bytes],
        election_tick: int,
        heartbeat_tick: int,
        max_size_per_msg: int,
        max_inflight_msgs: int,
        pre_vote: bool = True,
        check_quorum: bool = True,
        priority: int = 0,
    ) -> RaftCore: ...
    def tick(self) -> bool: ...
    def step(self, messages: list[bytes]) -> int: ...
    def propose(self, entries: list[bytes]) -> tuple[int, int] | None: ...
    def propose_membership(self, kind: str, node_id: int, data: bytes) -> tuple[int, int] | None: ...
    def configure(self, voters: list[int], learners: list[int]) -> bool: ...
    def read_index(self, contexts: list[bytes]) -> None: ...
    def campaign(self) -> None: ...
    def ready(self) -> Ready | None: ...
    def advance(self) -> LightReady: ...
    def advance_apply_to(self, index: int) -> None: ...
    def entries(self, low: int, high: int, max_bytes: int) -> list[tuple[int, int, bytes, bool]]: ...
    def term_at(self, index: int) -> int | None: ...
    def compact(self, index: int) -> None: ...
    def set_snapshot(self, index: int, term: int, data: bytes, voters: list[int], learners: list[int]) -> None: ...
    def clear_snapshot(self) -> None: ...
    def restore(self, message: bytes) -> None: ...
    def snapshot_wanted(self) -> tuple[int, int] | None: ...
    def report_unreachable(self, node_id: int) -> None: ...
    def report_snapshot(self, node_id: int, arrived: bool) -> None: ...
    def transfer_leader(self, to: int) -> None: ...
    def set_priority(self, priority: int) -> None: ...
    def set_randomized_election_timeout(self, ticks: int) -> None: ...
    def status(self) -> Status: ...

@final
class KnownRecords:
    def __new__(
        cls,
        runs: Mapping[int, tuple[array[int], array[int]]],
        apart: Set[tuple[int, int]],
        skipped: set[tuple[int, int]],
    ) -> KnownRecords: ...
    def look(self, records: Sequence[tuple[Any, ...]], kind: int, closely: bool) -> tuple[int, list[int]]: ...

@final
class RecordTexts:
    def __new__(
        cls,
        *,
        separator: bytes,
        apart: list[tuple[int, int]],
        wanted: list[int] | None,
        moved: list[tuple[int, int]],
        careful: Callable[[int, int, int, int, bytes], bytes | None],
    ) -> RecordTexts: ...
    def of(self, message: bytes) -> tuple[int, bytes, list[tuple[int, int]]]: ...

def describe_snapshot(message: bytes) -> tuple[int, int, int]: ...
def snapshot_members(message: bytes) -> list[int]: ...
def doubtful_bodies(bodies: list[bytes]) -> list[int]: ...
def stored_records(
    cluster: bytes, kind: int, positions: list[int], versions: list[int], bodies: list[bytes]
) -> dict[bytes, bytes]: ...
def cut_records(
    data: bytes, at: int, base: int, separated: bool, most: int, kind: object
) -> tuple[list[tuple[Any, ...]], int, bool, int, int]: ...
def maybe_dated(records: Sequence[tuple[Any, ...]]) -> list[int]: ...
def pack_records(rows: object, end: bytes, most: int, enough: int) -> tuple[bytes, int, bool]: ...
