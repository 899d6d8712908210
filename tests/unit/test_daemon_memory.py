"""Memory that was freed goes back to the system, and a process that is in use is left alone."""

import asyncio
import sys
from pathlib import Path

import pytest

from quiesce.daemon import memory
from quiesce.daemon.memory import FreeMemory, resident_bytes

MIB = 1 << 20


def test_resident_bytes(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("VmRSS:\t  99 kB\nRssAnon:\t  12 kB\nRssFile:\t 7 kB\n")
    assert resident_bytes(tmp_path / "status") == 12 * 1024
    assert resident_bytes(tmp_path / "none") == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel does not say what a process holds")
def test_what_was_freed_in_pieces_goes_back() -> None:
    free = FreeMemory()
    # Blocks too small to go back by themselves, every hundredth of which stays in use.
    blocks = [bytearray(4 * 1024) for _ in range(30_000)]
    full = resident_bytes()
    kept = blocks[::100]
    del blocks
    free.give_back()
    assert resident_bytes() < full - 60 * MIB
    assert len(kept) == 300


async def test_it_is_given_back_after_growth_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_EVERY_S", 0.001)
    given_back: list[int] = []
    sizes = iter([100, 100, 140, 149, 100, 200, 190, 200, 120, 130, 180, 130])
    over = asyncio.Event()

    def held() -> int:
        size = next(sizes, None)
        if size is None:
            over.set()
            return 0
        return size * MIB

    free = FreeMemory()
    monkeypatch.setattr(memory, "resident_bytes", held)
    monkeypatch.setattr(free, "give_back", lambda: given_back.append(1))
    running = asyncio.create_task(free.run())
    async with asyncio.timeout(10):
        await over.wait()
    running.cancel()
    # At 149, 200 (that leaves 190, which 200 does not exceed by much), and at 180, after it had been 120.
    assert len(given_back) == 3
