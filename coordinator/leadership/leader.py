"""Holds the lease, or waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import structlog

from coordinator.documents import Documents, DocumentStore, Entry
from coordinator.leadership.lease import JOBS, LEASES, JobLease, Watch
from quiesce.errors import DuplicateKey, NotLeading, QuiesceError, StaleVersion, UnknownRecord

log = structlog.get_logger("leadership")

Value = TypeVar("Value")
TTL_MS = 10_000
# Where the cluster does not answer, or another leads.
_LOOK_S = 1.0


class Leadership:
    """See the package.

    Args:
        documents: the cluster's databases.
        holder: the name of this coordinator, the same after its restart, and nobody else's.
        address: where clients reach it.
        clock_ms: milliseconds of a clock that never jumps.
    """

    def __init__(
        self,
        documents: Documents,
        *,
        holder: str,
        address: str,
        clock_ms: Callable[[], int],
        ttl_ms: int = TTL_MS,
    ) -> None:
        self._store = DocumentStore(documents, LEASES)
        self._holder = holder
        self._address = address
        self._clock_ms = clock_ms
        self._ttl_ms = ttl_ms
        self._watch = Watch(holder, ttl_ms)
        self._entry: Entry[JobLease] | None = None
        self._until = 0
        # Renewals, and what is written under the lease, one after another: each changes its version.
        self._writing = asyncio.Lock()
        self._leader: JobLease | None = None
        self.gained = asyncio.Event()
        self.lost = asyncio.Event()
        self.lost.set()
        # Why the cluster could not be asked; None: it was.
        self.error: QuiesceError | None = None

    @property
    def leads(self) -> bool:
        """Whether this coordinator leads, by its own clock: after a long pause it does not any more."""
        return self._clock_ms() < self._until

    def check(self) -> None:
        """Check that this coordinator leads.

        Raises:
            NotLeading: another does, or nobody yet.
        """
        if not self.leads:
            raise self.not_leading()

    @property
    def follows(self) -> bool:
        """Whether another coordinator leads, as far as is known here."""
        return not self.leads and self._leader is not None and self._leader.holder not in ("", self._holder)

    def not_leading(self) -> NotLeading:
        """Return the refusal that names who leads."""
        leader = self._leader.address if self._leader is not None and self.follows else "(nobody yet)"
        return NotLeading(address=self._address, leader_address=leader)

    async def run(self) -> None:
        """Hold the lease whenever it can be had; ends only by cancellation."""
        try:
            while True:
                await self._see_to_it()
                await asyncio.sleep(self._pause_s())
        finally:
            self._set(until=0)

    async def create(self, store: DocumentStore[Value], value: Value) -> Entry[Value]:
        """Write a new document, in one step with a renewal of the lease: not where another leads by now.

        Raises:
            NotLeading: another leads.
            DuplicateKey: there is a document of that key.
        """
        async with self._writing:
            self.check()
            if self._entry is None:
                await self._look()
            entry, asked_ms = self._entry, self._clock_ms()
            if entry is None:
                raise self.not_leading()
            beat = replace(entry.value, beats=entry.value.beats + 1)
            try:
                created = await store.create(value, beside=(self._store, entry, beat))
            except (StaleVersion, UnknownRecord):
                self._set(until=0)
                self.check()
                raise
            except DuplicateKey:
                raise
            except QuiesceError:
                # Whether the lease was renewed is not known: the next look reads it.
                self._entry = None
                raise
            if entry.value is not beat:
                # The answer was lost, and with it the version of the lease.
                self._entry = None
            self._set(until=asked_ms + self._ttl_ms)
            return created

    async def give_back(self) -> None:
        """Let another lead at once."""
        async with self._writing:
            entry, leads = self._entry, self.leads
            self._set(until=0)
            if entry is not None and leads:
                with contextlib.suppress(QuiesceError):
                    await self._store.advance(entry, replace(entry.value, holder=""))

    async def _see_to_it(self) -> None:
        try:
            async with asyncio.timeout(self._ttl_ms / 1000), self._writing:
                await (self._renew() if self._entry is not None else self._look())
            self.error = None
        except (StaleVersion, UnknownRecord):
            # Another has taken it.
            self._set(until=0)
        except (QuiesceError, TimeoutError) as error:
            self._entry = None
            if isinstance(error, QuiesceError):
                if type(error) is not type(self.error):
                    log.info("the lease cannot be seen to", error=error.message())
                self.error = error
        self._set(until=self._until)

    async def _look(self) -> None:
        entry = next((one for one in await self._store.load() if one.value.name == JOBS), None)
        asked_ms = self._clock_ms()
        if entry is None:
            await self._store.ensure()
            with contextlib.suppress(DuplicateKey):
                self._take(await self._store.create(JobLease(JOBS, self._holder, self._address, 1, 0)), asked_ms)
            return
        self._leader = entry.value
        if self._watch.may_take(entry.value, asked_ms):
            mine = JobLease(JOBS, self._holder, self._address, entry.value.term + 1, 0)
            # After an answer that was lost it may still be this one that leads, in its term.
            await self._store.advance(entry, replace(entry.value, beats=entry.value.beats + 1) if self.leads else mine)
            self._take(entry, asked_ms)

    async def _renew(self) -> None:
        entry, asked_ms = self._entry, self._clock_ms()
        if entry is None:
            raise AssertionError("nothing to renew")
        await self._store.advance(entry, replace(entry.value, beats=entry.value.beats + 1))
        self._set(until=asked_ms + self._ttl_ms)

    def _take(self, entry: Entry[JobLease], asked_ms: int) -> None:
        if not self.leads:
            log.info("this coordinator leads", holder=self._holder, term=entry.value.term)
        self._entry, self._leader = entry, entry.value
        self._set(until=asked_ms + self._ttl_ms)

    def _set(self, *, until: int) -> None:
        self._until = until
        if self.leads:
            self.lost.clear()
            self.gained.set()
        else:
            if self.gained.is_set():
                log.warning("this coordinator does not lead any more", holder=self._holder)
            self._entry = None
            self.gained.clear()
            self.lost.set()

    def _pause_s(self) -> float:
        if self._entry is None:
            return min(_LOOK_S, self._ttl_ms / 5000)
        return self._ttl_ms / 4000
