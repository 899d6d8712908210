"""The Raft log of a stopped node: every segment, record and entry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from nodes.check.findings import Findings
from nodes.consensus.disk import Disk
from nodes.consensus.record import APPEND, STATE, LogState, decode_append
from nodes.consensus.recovery import RecoveredLog, recover_log
from nodes.consensus.segment import Damage, Segment, read_segment
from nodes.salvage.untouched import UntouchedDisk
from quiesce._native import RaftCore
from quiesce.v1.peer_pb2 import LogEntry

_EVERYTHING = 1 << 62


@dataclass(slots=True)
class ExaminedLog:
    """What was examined, and where the log ends."""

    segments: int = 0
    records: int = 0
    entries: int = 0
    commands: int = 0
    size: int = 0
    # (index, term) of the end, and the other numbers that tell of the node's part; None where the log cannot be read.
    last: tuple[int, int] | None = None
    base: tuple[int, int] | None = None
    term: int = 0
    vote: int = 0
    commit: int = 0


def examine_log(directory: Path, findings: Findings) -> tuple[ExaminedLog, RecoveredLog | None]:
    """Read a log, and return what it is; no recovered one where it is damaged. Its log is to be closed."""
    examined, disk, before = ExaminedLog(), UntouchedDisk(), findings.count
    with findings.collected(directory):
        paths = disk.list(directory, ".log")
        for path in paths:
            _examine_segment(path, disk, examined, findings, last=path is paths[-1])
        for unfinished in disk.list(directory, ".new"):
            findings.note(f"{unfinished}: a segment that was not finished; the next start removes it")
        if findings.count == before:
            return examined, _recovered(directory, disk, examined, findings)
    return examined, None


def _examine_segment(path: Path, disk: Disk, examined: ExaminedLog, findings: Findings, *, last: bool) -> None:
    data = disk.read(path)
    examined.segments += 1
    examined.size += len(data)
    try:
        segment = read_segment(data, last=last)
    except Damage as damage:
        findings.add(path, damage.detail, damage.at, log=True)
        return
    if segment.length < len(data):
        torn = len(data) - segment.length
        findings.note(f"{path}: {torn} bytes from byte {segment.length} on are what a crash left of the last write")
    _decode_records(path, segment, examined, findings)


def _decode_records(path: Path, segment: Segment, examined: ExaminedLog, findings: Findings) -> None:
    for record in segment.records:
        examined.records += 1
        try:
            # What is of no known type the recovery of the whole log will name.
            if record.type == STATE:
                LogState.decode(record.payload)
            elif record.type == APPEND:
                examined.entries += len(decode_append(record.payload)[1])
        except ValueError as error:
            findings.add(path, str(error), record.at, log=True)


def _recovered(directory: Path, disk: Disk, examined: ExaminedLog, findings: Findings) -> RecoveredLog:
    recovered = recover_log(directory, disk=disk)
    state, last = recovered.log.state, recovered.last
    examined.last = last.index, last.term
    examined.base = state.base.index, state.base.term
    examined.term, examined.vote, examined.commit = state.hard_state
    _decode_entries(directory, recovered, examined, findings)
    return recovered


def _decode_entries(directory: Path, recovered: RecoveredLog, examined: ExaminedLog, findings: Findings) -> None:
    state, last = recovered.log.state, recovered.last
    # Only to decode them: it never takes part in anything.
    core = RaftCore(
        node_id=1,
        applied=state.base.index,
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
    if last.index == state.base.index:
        return
    for index, _, data, *_ in core.entries(state.base.index + 1, last.index + 1, _EVERYTHING):
        try:
            examined.commands += len(LogEntry.FromString(data).commands)
        except DecodeError as error:
            findings.add(directory, f"entry {index}: {error}", log=True)
