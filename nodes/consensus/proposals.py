"""Which proposals share a log entry, and what became of those that were appended. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nodes.consensus.interface import CommittedEntry


class Proposal(NamedTuple):
    """A command that waits to be appended; `data` is the encoded Command."""

    proposal_id: int
    data: bytes


class PackedEntry(NamedTuple):
    """An encoded LogEntry, and whose commands are in it."""

    data: bytes
    proposal_ids: list[int]


class Backlog:
    """The proposals between the event loop, which puts them, and the Raft thread, which takes them.

    Callers who have given up are counted as long as their proposals are there: what they wait for is the disk.
    """

    def __init__(self) -> None:
        # Each is written by one of the two threads alone.
        self._put, self._put_bytes = 0, 0
        self._taken, self._taken_bytes = 0, 0

    @property
    def count(self) -> int:
        """How many there are."""
        return self._put - self._taken

    @property
    def size(self) -> int:
        """Their bytes."""
        return self._put_bytes - self._taken_bytes

    def put(self, size: int) -> None:
        """Note one of `size` bytes."""
        self._put += 1
        self._put_bytes += size

    def take(self, proposals: Sequence[Proposal]) -> None:
        """Note that these were appended, or refused."""
        self._taken += len(proposals)
        self._taken_bytes += sum(len(proposal.data) for proposal in proposals)


def _field_1(data: bytes) -> bytes:
    """Frame `data` as field 1 of a protobuf message, which a LogEntry repeats for each command."""
    length = len(data)
    head = bytearray(b"\x0a")
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + data


def pack(proposals: Iterable[Proposal], *, commands: int, size: int) -> list[PackedEntry]:
    """Put proposals into as few entries as hold `commands` and `size` bytes each; a bigger command goes alone."""
    packed: list[PackedEntry] = []
    parts: list[bytes] = []
    ids: list[int] = []
    filled = 0
    for proposal in proposals:
        if ids and (len(ids) >= commands or filled + len(proposal.data) > size):
            packed.append(PackedEntry(b"".join(parts), ids))
            parts, ids, filled = [], [], 0
        parts.append(_field_1(proposal.data))
        ids.append(proposal.proposal_id)
        filled += len(proposal.data)
    if ids:
        packed.append(PackedEntry(b"".join(parts), ids))
    return packed


@dataclass(frozen=True, slots=True)
class _Appended:
    index: int
    term: int
    proposal_ids: list[int]


class AppendedProposals:
    """The entries this node has appended as a leader and not yet seen committed, by index.

    (index, term) names an entry for ever. Only where another entry is committed at its index is it certain that it
    never will be: one that was merely overwritten here may live on elsewhere and be committed by another leader.
    """

    def __init__(self) -> None:
        self._entries: list[_Appended] = []

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add(self, index: int, term: int, proposal_ids: list[int]) -> None:
        """Note an entry that was appended."""
        bisect.insort(self._entries, _Appended(index, term, proposal_ids), key=lambda entry: entry.index)

    def committed(self, entries: Sequence[CommittedEntry]) -> list[int]:
        """Note what was committed, in order; return the ids of proposals in whose place others were."""
        first = entries[0].index
        return [
            proposal_id
            for appended in self._pop(entries[-1].index)
            if appended.index < first or entries[appended.index - first].term != appended.term
            for proposal_id in appended.proposal_ids
        ]

    def skipped(self, index: int) -> list[int]:
        """Forget entries up to `index`, whose fate a snapshot hides; return the ids of their proposals."""
        return [proposal_id for appended in self._pop(index) for proposal_id in appended.proposal_ids]

    def clear(self) -> list[int]:
        """Forget all; return the ids of their proposals."""
        ids = [proposal_id for appended in self._entries for proposal_id in appended.proposal_ids]
        self._entries.clear()
        return ids

    def _pop(self, index: int) -> list[_Appended]:
        count = 0
        for appended in self._entries:
            if appended.index > index:
                break
            count += 1
        popped = self._entries[:count]
        del self._entries[:count]
        return popped
