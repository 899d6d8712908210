"""The durable Raft log: segment files that only grow, one fdatasync a batch."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nodes.consensus.disk import Disk
from nodes.consensus.record import (
    APPEND,
    STATE,
    HardState,
    LogState,
    Point,
    SegmentHeader,
    StoredEntry,
    encode_append,
    encode_record,
)
from quiesce.errors import DirectoryNotEmpty

SEGMENT_BYTES = 16 << 20
# The state of an empty store is the state at this point: a new cluster's log starts behind it.
INITIAL_INDEX = 5
INITIAL_TERM = 1
# A new cluster that begins with the data of another starts its log so much later: no log of the old one gets there, so
# what carries an index of it can be told from what is newer (docs/decisions/0006).
INDEX_STEP = 1_000_000_000

Salt = Callable[[], int]


def random_salt() -> int:
    """Return a salt for a new segment."""
    return secrets.randbits(32)


@dataclass(slots=True)
class SegmentFile:
    """A segment on the disk; no entry in it that was not replaced has an index above `last_index`."""

    number: int
    path: Path
    size: int
    last_index: int


def segment_path(directory: Path, number: int) -> Path:
    """Return the file of a segment; its temporary twin ends in `.new`."""
    return directory / f"{number:020d}.log"


def forget_from(index: int, segments: Sequence[SegmentFile]) -> bool:
    """Note that the entries of `segments` from `index` on were replaced; say whether there were any."""
    replaced = [segment for segment in segments if segment.last_index >= index]
    for segment in replaced:
        segment.last_index = index - 1
    return bool(replaced)


def write_segment(directory: Path, header: SegmentHeader, state: LogState, disk: Disk) -> SegmentFile:
    """Create a segment that starts with `state`; it appears whole or not at all."""
    path = segment_path(directory, header.number)
    fresh = path.with_suffix(".new")
    disk.remove(fresh)
    data = header.encode() + encode_record(STATE, header.first_sequence, state.encode(), header.salt)
    descriptor = disk.create(fresh)
    try:
        disk.write(descriptor, data, fresh)
        disk.sync(descriptor, fresh)
    finally:
        disk.close(descriptor)
    disk.rename(fresh, path)
    return SegmentFile(header.number, path, len(data), 0)


def initialise_log(
    directory: Path,
    *,
    index: int = INITIAL_INDEX,
    term: int = INITIAL_TERM,
    voters: Sequence[int],
    learners: Sequence[int] = (),
    disk: Disk | None = None,
    new_salt: Salt = random_salt,
) -> None:
    """Write the log of a new cluster, whose first entry will be `index` + 1.

    The state machine must be at (`index`, `term`) already, or be empty where `index` is INITIAL_INDEX.

    Raises:
        DirectoryNotEmpty: there is a log already.
        DiskFailed: the disk refused.
    """
    disk = disk or Disk()
    disk.make_directory(directory)
    if disk.list(directory, ".log"):
        raise DirectoryNotEmpty(path=directory)
    state = LogState(HardState(term, 0, index), Point(index, term), tuple(voters), tuple(learners))
    write_segment(directory, SegmentHeader(1, 1, new_salt()), state, disk)
    disk.sync_directory(directory.parent)


class DurableLog:
    """The log of one node, open for appending. Used by one thread; every method may raise DiskFailed."""

    def __init__(
        self,
        directory: Path,
        *,
        state: LogState,
        segments: list[SegmentFile],
        next_sequence: int,
        salt: int,
        disk: Disk,
        segment_bytes: int = SEGMENT_BYTES,
        new_salt: Salt = random_salt,
    ) -> None:
        self._directory = directory
        self.state = state
        self._segments = segments
        self._sequence = next_sequence
        self._salt = salt
        self._disk = disk
        self._segment_bytes = segment_bytes
        self._new_salt = new_salt
        self._descriptor = disk.open(segments[-1].path)

    @property
    def active_path(self) -> Path:
        """The segment that is being written."""
        return self._segments[-1].path

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self._segments)

    def append(self, hard_state: HardState, entries: Sequence[StoredEntry]) -> None:
        """Write entries and hard state as one record, and return when it is on the disk.

        Entries with indexes that are in the log already replace those and all behind them.
        """
        if self._segments[-1].size >= self._segment_bytes:
            self._roll(self.state)
        self._write(APPEND, encode_append(hard_state, entries))
        self.state = self.state.with_hard_state(hard_state)
        if entries:
            if forget_from(entries[0].index, self._segments):
                self.drop_covered()
            self._segments[-1].last_index = entries[-1].index

    def reset(self, state: LogState) -> None:
        """Start anew behind a snapshot: `state` counts, and no entry before it."""
        self._roll(replace(state, discard=True))
        self.state = replace(state, discard=False)
        self._drop(len(self._segments) - 1)

    def compactable(self, up_to: int, keep_bytes: int) -> int:
        """Return the index up to which whole segments can go: not beyond `up_to`, leaving `keep_bytes`; or 0."""
        left, found = self.size, 0
        for segment in self._segments[:-1]:
            left -= segment.size
            if segment.last_index > up_to or left < keep_bytes:
                break
            found = max(found, segment.last_index)
        return found if found > self.state.base.index else 0

    def compact(self, base: Point) -> None:
        """Forget the entries up to `base`, and remove the segments that hold no others."""
        hard_state = self.state.hard_state
        # The commit index moves more often than it is written; what is forgotten was committed.
        hard_state = hard_state._replace(commit=max(hard_state.commit, base.index))
        self.state = replace(self.state, base=base, hard_state=hard_state)
        self._write(STATE, self.state.encode())
        self.drop_covered()

    def drop_covered(self) -> None:
        """Remove the leading segments that hold no entry behind the base."""
        covered = 0
        for segment in self._segments[:-1]:
            if segment.last_index > self.state.base.index:
                break
            covered += 1
        self._drop(covered)

    def sync(self) -> None:
        """Bring the last segment and the names of all to the disk."""
        self._disk.sync(self._descriptor, self.active_path)
        self._disk.sync_directory(self._directory)

    def close(self) -> None:
        """Close the file; everything is on the disk already."""
        self._disk.close(self._descriptor)

    def _write(self, record_type: int, payload: bytes) -> None:
        active = self._segments[-1]
        data = encode_record(record_type, self._sequence, payload, self._salt)
        self._disk.write(self._descriptor, data, active.path)
        self._disk.sync(self._descriptor, active.path)
        self._sequence += 1
        active.size += len(data)

    def _roll(self, state: LogState) -> None:
        salt = self._new_salt()
        header = SegmentHeader(self._segments[-1].number + 1, self._sequence, salt)
        fresh = write_segment(self._directory, header, state, self._disk)
        self._disk.close(self._descriptor)
        self._descriptor = self._disk.open(fresh.path)
        self._segments.append(fresh)
        self._sequence += 1
        self._salt = salt

    def _drop(self, count: int) -> None:
        # Oldest first, so that a crash leaves consecutive segments.
        for segment in self._segments[:count]:
            self._disk.remove(segment.path)
        if count:
            self._disk.sync_directory(self._directory)
            del self._segments[:count]
