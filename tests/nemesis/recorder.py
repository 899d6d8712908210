"""What a run has seen so far: counts, times of acknowledged writes, log indexes, and what is wrong."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import TextIO

from tests.nemesis.history import Operation


class Recorder:
    """One clock for all: nanoseconds since the run began."""

    def __init__(self, log: Path) -> None:
        self._began = time.monotonic_ns()
        self._log: TextIO = log.open("w", buffering=1)
        # (kind, "ok" or "refused" or "failed" or "unknown").
        self.counts: Counter[tuple[str, str]] = Counter()
        # Seconds at which a write was acknowledged.
        self.acknowledged: list[float] = []
        # The greatest log index that any answer named: whoever asks now must get one as great.
        self.floor = 0
        self.violations: list[str] = []
        self.violated = asyncio.Event()
        self._said: set[str] = set()

    def now(self) -> int:
        return time.monotonic_ns() - self._began

    def seconds(self) -> float:
        return self.now() / 1e9

    def note(self, text: str) -> None:
        """Write a line into the log of the run."""
        self._log.write(f"{self.seconds():8.3f}  {text}\n")

    def count(self, kind: str, outcome: str, *, changed: bool = False) -> None:
        self.counts[kind, outcome] += 1
        if changed:
            self.acknowledged.append(self.seconds())

    def violate(self, text: str) -> None:
        if text in self._said:
            return
        self._said.add(text)
        self.note(f"VIOLATION: {text}")
        self.violations.append(f"at {self.seconds():.3f} s: {text}")
        self.violated.set()

    def saw(self, who: str, asked_at_floor: int, index: int, *, write: bool = False) -> None:
        """Take in the log index of an answer that was asked for when the floor was `asked_at_floor`.

        A read shows every write that was acknowledged before it began, and nothing that was seen once goes away; a
        write comes behind all of it.
        """
        if index < asked_at_floor or (write and index == asked_at_floor):
            what = "a write got" if write else "a read was answered from"
            self.violate(f"{who}: {what} index {index}, and {asked_at_floor} had been seen before it was asked for")
        self.floor = max(self.floor, index)

    def write_histories(self, path: Path, histories: dict[str, list[Operation]]) -> None:
        with path.open("w") as out:
            for key in sorted(histories):
                for operation in sorted(histories[key], key=lambda op: op.invoked):
                    out.write(f"{operation}\n")
