"""Documents of things that begin, run and end; the latest are kept."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol, TypeVar

from coordinator.documents import DocumentStore, Entry
from quiesce.errors import StaleVersion, UnknownRecord


class Run(Protocol):
    """Something that has begun, and may have ended."""

    @property
    def id(self) -> str:
        """Its name, unique."""

    @property
    def started_ms(self) -> int:
        """When it began, Unix milliseconds."""

    @property
    def running(self) -> bool:
        """Whether it has not ended."""


Value = TypeVar("Value", bound=Run)


class History(DocumentStore[Value]):
    """Reads and writes the runs of one kind."""

    @property
    @abstractmethod
    def kept(self) -> int:
        """How many are kept that have ended."""

    async def latest(self) -> list[Entry[Value]]:
        """Return all of them, the latest first."""
        return sorted(await self.load(), key=lambda entry: (entry.value.started_ms, entry.value.id), reverse=True)

    async def one(self, run_id: str) -> Value | None:
        """Return one of them; None where there is none of that id."""
        # There are a thousand at most: a scan is one call, as a lookup would be.
        return next((entry.value for entry in await self.load() if entry.value.id == run_id), None)

    async def prune(self, entries: Sequence[Entry[Value]]) -> None:
        """Remove the oldest that have ended, beyond those that are kept; `entries` begin with the latest."""
        for entry in [entry for entry in entries if not entry.value.running][self.kept :]:
            with contextlib.suppress(StaleVersion, UnknownRecord):
                await self.remove(entry)
