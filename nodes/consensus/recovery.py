"""Reads a log back when a node starts, and fits it to the state that its store holds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from nodes.consensus.disk import Disk
from nodes.consensus.log import INITIAL_INDEX, SEGMENT_BYTES, DurableLog, Salt, SegmentFile, forget_from, random_salt
from nodes.consensus.record import (
    APPEND,
    STATE,
    HardState,
    LogState,
    Point,
    StoredEntry,
    decode_append,
)
from nodes.consensus.segment import Damage, Record, Segment, read_segment
from quiesce.errors import DamagedLog, DamagedStore, QuiesceError


@dataclass(slots=True)
class RecoveredLog:
    """A log as it was found: open for appending, with the entries behind its base."""

    log: DurableLog
    entries: list[StoredEntry]

    @property
    def last(self) -> Point:
        """The end of the log."""
        return Point(self.entries[-1].index, self.entries[-1].term) if self.entries else self.log.state.base

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry, or None where it is not here."""
        base = self.log.state.base
        if index == base.index:
            return base.term
        at = index - base.index - 1
        return self.entries[at].term if 0 <= at < len(self.entries) else None


def damaged(path: Path, byte: int, detail: str) -> DamagedLog:
    """Return the error that names the place."""
    return DamagedLog(file=path, byte=byte, detail=detail)


def recover_log(
    directory: Path, *, disk: Disk | None = None, segment_bytes: int = SEGMENT_BYTES, new_salt: Salt = random_salt
) -> RecoveredLog:
    """Read the log of `directory`, and cut off a torn tail.

    Raises:
        DamagedLog: anything but the very end of the last segment is not as it was written.
        DiskFailed: the disk refused.
    """
    disk = disk or Disk()
    for unfinished in disk.list(directory, ".new"):
        disk.remove(unfinished)
    paths = disk.list(directory, ".log")
    if not paths:
        raise damaged(directory, 0, "there is no log")
    replay = _Replay()
    files: list[SegmentFile] = []
    for path in paths:
        data = disk.read(path)
        segment = _read(path, data, last=path is paths[-1])
        replay.follow(path, segment)
        if segment.length < len(data):
            disk.truncate(path, segment.length)
        if replay.replaced_from is not None:
            forget_from(replay.replaced_from, files)
        files.append(SegmentFile(segment.header.number, path, segment.length, replay.segment_last))
    state = replay.finished(paths[-1], files[-1].size)
    log = DurableLog(
        directory,
        state=state,
        segments=files,
        next_sequence=replay.sequence,
        salt=replay.salt,
        disk=disk,
        segment_bytes=segment_bytes,
        new_salt=new_salt,
    )
    # A process that was killed may have left its last record, or the name of its last segment, in the page cache only.
    log.sync()
    log.drop_covered()
    return RecoveredLog(log, replay.entries)


def fit_to_store(recovered: RecoveredLog, applied: tuple[int, int], store: str) -> int:
    """Bring the log in line with what the store says it has applied, and return the index applied.

    A snapshot is put into the store before the log learns of it. So a store ahead of the log means that the node died
    in between: the log starts anew behind the store.

    Raises:
        DamagedLog: the store has applied another entry than the log says is committed.
        DamagedStore: entries that the store still needs are gone.
    """
    state = recovered.log.state
    index, term = applied
    if index < state.base.index:
        # An empty store is the state at INITIAL_INDEX.
        if index == 0 and state.base.index <= INITIAL_INDEX:
            return state.base.index
        detail = f"it holds the state at index {index}, and the log starts behind index {state.base.index}"
        raise DamagedStore(path=store, detail=detail)
    hard = state.hard_state
    if recovered.term_at(index) == term:
        if index > hard.commit:
            recovered.log.state = state.with_hard_state(hard._replace(commit=index))
        return index
    if index <= hard.commit:
        detail = f"entry {index} has term {recovered.term_at(index)}, and the store applied it with term {term}"
        raise damaged(recovered.log.active_path, 0, detail)
    voted = hard if hard.term >= term else HardState(term, 0, 0)
    recovered.log.reset(replace(state, hard_state=voted._replace(commit=index), base=Point(index, term)))
    recovered.entries.clear()
    return index


def _read(path: Path, data: bytes, *, last: bool) -> Segment:
    try:
        return read_segment(data, last=last)
    except Damage as damage:
        raise damaged(path, damage.at, damage.detail) from damage


_NONE = HardState(0, 0, 0)


@dataclass(slots=True)
class _Replay:
    """What the records up to here come to."""

    state: LogState | None = None
    # That of the last record: a log has a million of them, and putting each into `state` takes most of the time.
    hard_state: HardState = _NONE
    entries: list[StoredEntry] = field(default_factory=list)
    number: int = 0
    sequence: int = 0
    salt: int = 0
    segment_last: int = 0
    # The least index of an entry in the last segment: what older ones hold from there on was replaced.
    replaced_from: int | None = None

    def follow(self, path: Path, segment: Segment) -> None:
        header = segment.header
        if self.number and (header.number, header.first_sequence) != (self.number + 1, self.sequence):
            raise damaged(path, 0, f"segment {self.number + 1} from record {self.sequence} on was expected")
        if int(path.stem) != header.number:
            raise damaged(path, 0, f"the file holds segment {header.number}")
        self.number, self.salt = header.number, header.salt
        self.sequence = header.first_sequence
        self.segment_last, self.replaced_from = 0, None
        if not segment.records or segment.records[0].type != STATE:
            raise damaged(path, segment.length, "the segment does not start with the state of the log")
        for record in segment.records:
            try:
                self._take(record)
            except (ValueError, QuiesceError) as error:
                raise damaged(path, record.at, str(error)) from error
            self.sequence += 1

    def _take(self, record: Record) -> None:
        if record.type == STATE:
            self.state = LogState.decode(record.payload)
            if self.state.discard:
                self.entries.clear()
                self.segment_last, self.replaced_from = 0, 1
                self.state = replace(self.state, discard=False)
            self.hard_state = self.state.hard_state
            self._forget(self.state.base.index)
        elif record.type == APPEND:
            assert self.state is not None  # noqa: S101 - a segment starts with one
            self.hard_state, entries = decode_append(record.payload)
            self._append(entries)
        else:
            raise ValueError(f"a record of type {record.type} is not known")

    def _append(self, entries: list[StoredEntry]) -> None:
        if not entries:
            return
        first, last = entries[0].index, entries[-1].index
        for expected, entry in enumerate(entries, first):
            if entry.index != expected:
                raise ValueError(f"entry {entry.index} does not follow entry {expected - 1}")
        self.segment_last = last
        self.replaced_from = min(first, self.replaced_from or first)
        if self.entries:
            end = self.entries[-1].index
            if first > end + 1:
                raise ValueError(f"entry {first} does not follow entry {end}")
            if first <= end:
                # Where older segments were removed, what is left may start, and be replaced from, anywhere before the
                # base that a later record sets; `finished` sees to it that nothing is missing behind that.
                del self.entries[max(0, first - self.entries[0].index) :]
        self.entries += entries

    def _forget(self, base: int) -> None:
        if self.entries and self.entries[0].index <= base:
            del self.entries[: base - self.entries[0].index + 1]

    def finished(self, path: Path, byte: int) -> LogState:
        assert self.state is not None  # noqa: S101 - there is at least one segment
        state = self.state.with_hard_state(self.hard_state)
        self._forget(state.base.index)
        if self.entries and self.entries[0].index != state.base.index + 1:
            raise damaged(path, byte, f"entries {state.base.index + 1} to {self.entries[0].index - 1} are missing")
        last = self.entries[-1].index if self.entries else state.base.index
        if not state.base.index <= state.hard_state.commit <= last:
            raise damaged(path, byte, f"index {state.hard_state.commit} is committed and the log ends at {last}")
        return state
