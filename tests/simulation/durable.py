"""What a node's disk would hold for certain if its power were lost now: the log, read anew as far as it changed."""

from __future__ import annotations

import zlib
from pathlib import Path

from nodes.consensus.record import (
    APPEND,
    RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    STATE,
    HardState,
    LogState,
    SegmentHeader,
    StoredEntry,
    decode_append,
    decode_record_header,
)
from tests.simulation.disk import File, SimulatedDisk
from tests.simulation.engine import Image, applied_of


class _Parsed:
    """The records of one file, as far as they are synced."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.salt = SegmentHeader.decode(bytes(file.data[:SEGMENT_HEADER_BYTES])).salt
        self.at = SEGMENT_HEADER_BYTES
        self.records: list[LogState | tuple[HardState, list[StoredEntry]]] = []

    def read_on(self) -> int:
        """Read what has been synced meanwhile; return how many records were there before."""
        before = len(self.records)
        data = bytes(self.file.data[self.at : self.file.synced])
        at = 0
        while (head := decode_record_header(data, at, self.salt)) is not None:
            end = at + RECORD_HEADER_BYTES + head.length
            if end > len(data):
                break
            payload = data[at + RECORD_HEADER_BYTES : end]
            if zlib.crc32(payload, self.salt) != head.payload_crc:
                break
            self.records.append(LogState.decode(payload) if head.type == STATE else decode_append(payload))
            assert head.type in (STATE, APPEND)
            at = end
        self.at += at
        return before


class DurableState:
    """See the module. `refresh` before anything else."""

    def __init__(self, disk: SimulatedDisk, log: Path, store: Path) -> None:
        self._disk = disk
        self._log = log
        self._store = store
        self._seen = -1
        self._parsed: list[_Parsed] = []
        self._forget()

    def _forget(self) -> None:
        self.hard_state = HardState(0, 0, 0)
        self.base = (0, 0)
        # Terms by index, of entries without a gap; `last` is the base's index where there are none.
        self._terms: dict[int, int] = {}
        self.last = 0
        # Entries that came since `take_entries`: (index, term, data), and the term of the entry before.
        self._fresh: list[tuple[StoredEntry, int]] = []

    def refresh(self) -> bool:
        """Look at the disk again; return whether anything may be different."""
        if self._seen == self._disk.version:
            return False
        self._seen = self._disk.version
        durable = self._disk.durable
        files = [
            durable[path] for path in sorted(path for path in durable if path.parent == self._log)
            if path.suffix == ".log"
        ]  # fmt: skip
        known = [parsed.file for parsed in self._parsed]
        if files != known or any(parsed.at > parsed.file.synced for parsed in self._parsed):
            kept = {id(parsed.file): parsed for parsed in self._parsed if parsed.at <= parsed.file.synced}
            self._parsed = [kept.get(id(file)) or _Parsed(file) for file in files if isinstance(file, File)]
            self._forget()
            for parsed in self._parsed:
                parsed.read_on()
                self._follow(parsed, 0)
        elif self._parsed:
            self._follow(self._parsed[-1], self._parsed[-1].read_on())
        return True

    def _follow(self, parsed: _Parsed, start: int) -> None:
        for record in parsed.records[start:]:
            if isinstance(record, LogState):
                self.hard_state, self.base = record.hard_state, (record.base.index, record.base.term)
                if record.discard:
                    self._terms.clear()
                while self._terms and (first := next(iter(self._terms))) <= self.base[0]:
                    del self._terms[first]
                if not self._terms:
                    self.last = self.base[0]
            else:
                self.hard_state, entries = record
                for entry in entries:
                    self._append(entry)

    def _append(self, entry: StoredEntry) -> None:
        # Where older segments were removed, what is left begins anywhere before the base that a later record sets.
        for index in range(entry.index, self.last + 1):
            self._terms.pop(index, None)
        before = self._terms.get(entry.index - 1, self.base[1] if entry.index == self.base[0] + 1 else 0)
        self._terms[entry.index] = entry.term
        self.last = entry.index
        self._fresh.append((entry, before))

    def take_entries(self) -> list[tuple[StoredEntry, int]]:
        """Return the entries that came since the last call, each with the term of the one before it, or 0."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry of the log, or None where it is not in it."""
        return self.base[1] if index == self.base[0] else self._terms.get(index)

    def store_applied(self) -> tuple[int, int]:
        """Return index and term up to which the store is certain to have everything."""
        current = self._disk.durable.get(self._store / "CURRENT")
        if not isinstance(current, File):
            return 0, 0
        image = self._disk.durable.get(self._store / bytes(current.data).decode().split()[0])
        return applied_of(image.certain) if isinstance(image, Image) and not image.damaged else (0, 0)

    def holds(self, index: int, term: int) -> bool:
        """Whether an entry, or its effect, would be here after a loss of power."""
        return self.term_at(index) == term or self.base[0] > index or self.store_applied()[0] >= index
