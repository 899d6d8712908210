"""How much memory a process holds, as the kernel says."""

from __future__ import annotations

from pathlib import Path

from quiesce.daemon import memory


def resident_bytes(pid: int) -> int:
    """Return the resident set of a process, without the files that it maps: those the kernel may take back."""
    return memory.resident_bytes(Path(f"/proc/{pid}/status"))
