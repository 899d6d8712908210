"""How a daemon's memory goes back to the system."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from pathlib import Path

# glibc's number for mallopt.
_M_MMAP_THRESHOLD = -3
# A block above it is mapped for itself, and unmapped when it is freed. With less, each copy of each record of a large
# batch cost so many page faults that a flood of batches left nodes no time for their heartbeats; with more, twice the
# memory is kept under such a flood.
_LARGE_BLOCK_BYTES = 4 << 20
_EVERY_S = 1.0
# Growth that is looked into: to give back less, and take it again, costs more than it is worth.
_GROWTH_BYTES = 48 << 20
_STATUS = Path("/proc/self/status")


class FreeMemory:
    """What a process has freed and glibc keeps, in pieces between what is in use.

    After a few hundred large requests that is a gigabyte and more. Where the C library is another, nothing is done.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._trim: Callable[[int], int] | None = getattr(library, "malloc_trim", None)
        if self._trim is not None:
            # By itself glibc begins with 128 KiB and goes up to the largest block seen.
            library.mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)

    def give_back(self) -> None:
        """Give it back; takes about 0.1 s a gigabyte, without the interpreter's lock."""
        if self._trim is not None:
            self._trim(0)

    async def run(self) -> None:
        """Give it back whenever the process has grown; ends only by cancellation."""
        least = resident_bytes()
        while True:
            await asyncio.sleep(_EVERY_S)
            held = resident_bytes()
            if held > least + _GROWTH_BYTES:
                await asyncio.to_thread(self.give_back)
                # What is left is in use: to be looked into again only when more has come to it.
                held = least = resident_bytes()
            least = min(least, held)


def resident_bytes(status: Path = _STATUS) -> int:
    """Return the memory that a process holds, without the files that it maps; 0 where the system does not say."""
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0
