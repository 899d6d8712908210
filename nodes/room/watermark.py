"""How much of a disk is kept free, and what a node takes while there is less. Pure but for `free_bytes`.

The reserve is what compaction, flushes and elections work in while nothing else may grow:

* below it no client's write is taken, and leadership goes to a node with more room;
* below half of it a follower takes no appends but the smallest: without them no new leader could begin its term, and
  then nothing could be read either;
* below a sixteenth it takes none at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
# An entry that begins a term, or moves the log's time on, with all that raft-rs puts around it.
SMALL_APPEND_BYTES = 512
# What a byte of a command takes until it is compacted: Raft log, WAL, table, and a table once more while it is merged.
_WRITTEN_TIMES = 4
# How much more than the reserve must be there before it is no longer full.
_RISE = 1.1
# What a start needs at most: it brings the store's WAL into tables.
_START_BYTES = 128 * MEBIBYTE


def free_bytes(path: Path) -> int:
    """Return the bytes that may still be written to the disk of `path`; raises OSError."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def default_reserve(path: Path) -> int:
    """Return what is kept free where nobody has said how much: 1 GiB, or 5 % of a small disk; raises OSError."""
    found = os.statvfs(path)
    return min(GIBIBYTE, found.f_blocks * found.f_frsize // 20)


def start_bytes(reserve: int) -> int:
    """Return the free bytes without which a node does not start."""
    return min(reserve // 4, _START_BYTES)


class Watermark:
    """The state of one disk as of the last `look`, and what was written since.

    `free` returns the free bytes and may raise OSError. Any thread may ask; one looks.
    """

    def __init__(self, free: Callable[[], int], reserve: int) -> None:
        self._measure = free
        self.reserve = reserve
        self._spent = 0
        self.full = False
        # What could not be measured is not held against anyone.
        self.free = self._try(2 * reserve)
        self.look()

    def look(self) -> bool:
        """Measure, and return whether `full` has changed."""
        before = self.full
        self.free, self._spent = self._try(self.free), 0
        self.full = self.free < (self.reserve * _RISE if before else self.reserve)
        return self.full is not before

    def spend(self, size: int) -> None:
        """Note that a command of so many bytes is on its way to the disk."""
        self._spent += size * _WRITTEN_TIMES

    @property
    def takes_writes(self) -> bool:
        """Whether clients' writes are taken."""
        return not self.full and self.free - self._spent >= self.reserve

    def takes_append(self, size: int) -> bool:
        """Return whether a follower takes a message with entries, of so many bytes."""
        if self.free >= self.reserve // 2:
            return True
        return size <= SMALL_APPEND_BYTES and self.free >= self.reserve // 16

    def _try(self, otherwise: int) -> int:
        try:
            return self._measure()
        except OSError:
            return otherwise
