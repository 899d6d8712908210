"""Reads an export once more and finds all that would keep its records from being imported, before any is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from quiesce.errors import InvalidDocument, RecordTooLarge
from quiesce.orientdb.options import OnError
from quiesce.orientdb.plan import ImportPlan, Passage
from quiesce.orientdb.reader import ExportReader
from quiesce.orientdb.record_text import ExportedRecord, NotARecord
from quiesce.orientdb.survey import Skipped
from quiesce.orientdb.unique_keys import ClusterKeys, Question, SharedKey, UniqueKeys
from quiesce.records.record import Record
from quiesce.rpc.limits import GET_IDS, RECORD_BYTES

LISTED = 1_000
# Answers carry the records that are found: few at once, as they may be large.
_QUESTIONS = min(1_000, GET_IDS)


class LookupClient(Protocol):
    """What a check against a database needs of quiesce.client.AsyncClient."""

    async def lookup(  # noqa: D102
        self, database: str, index_name: str, keys: Sequence[Sequence[Any]], *, limit: int = 0
    ) -> Sequence[Sequence[Record]]: ...


@dataclass(slots=True)
class Findings:
    """What a check found."""

    # Keys of unique indexes that two records have: the first LISTED of them, and how many.
    shared: list[SharedKey] = field(default_factory=list)
    shared_count: int = 0
    # Records that nodes would not take: the first LISTED of them, and how many.
    unfit: list[Skipped] = field(default_factory=list)
    unfit_count: int = 0
    # How many records are to be skipped.
    skipped: int = 0


@dataclass(slots=True)
class Check:
    """A check of the records of a plan.

    Args (of the constructor):
        plan: the file, and the ids of its records.
        keys: what the records of a cluster have in indexes.
        client, database, there: the database into which they come, if it is there, and its unique indexes.
        skip: told of each record that will not be imported; the plan's survey leaves it out from then on. None where
            the first such record is an error.
        read: told which part of the file was read, 0 to 1.
    """

    plan: ImportPlan
    keys: dict[int, ClusterKeys]
    client: LookupClient | None = None
    database: str = ""
    there: frozenset[str] = frozenset()
    skip: Callable[[Skipped], None] | None = None
    read: Callable[[float], None] | None = None
    found: Findings = field(default_factory=Findings)

    async def run(self) -> Passage:
        """Check all records; return what they went through.

        Raises:
            RecordTooLarge, InvalidDocument: nodes would not take a record, and it is not to be skipped.
        """
        passage = self.plan.passage()
        unique = UniqueKeys(self.keys, passage.placed, self.there)
        lost: set[tuple[int, int]] = set()
        questions: list[Question] = []
        async for records in self._records(passage):
            for record in records:
                try:
                    _check_size(record)
                    questions += unique.add(record)
                except (RecordTooLarge, InvalidDocument) as error:
                    self._unfit(record, error)
                    lost.add(record[:2])
            while len(questions) >= _QUESTIONS:
                await self._ask(questions[:_QUESTIONS], lost)
                del questions[:_QUESTIONS]
        await self._ask(questions, lost)
        count = unique.count
        if count:
            await self._name_shared(unique, lost)
            self.found.shared_count += count
        return await self._without(lost, passage)

    async def _without(self, lost: set[tuple[int, int]], passage: Passage) -> Passage:
        """Leave out what is to be skipped; links to it are dangling then, so links are looked at again."""
        if self.skip is None or not lost:
            return passage
        for rid in lost:
            self.plan.found.skip(rid)
        self.found.skipped = len(lost)
        passage = self.plan.passage()
        async for _ in self._records(passage):
            pass
        return passage

    async def _records(self, passage: Passage) -> AsyncIterator[list[ExportedRecord]]:
        with ExportReader(self.plan.found.path, refused=_pass_over) as reader:
            for part in reader:
                if isinstance(part, list):
                    yield passage.take(part)
                if self.read:
                    self.read(reader.progress)
                await asyncio.sleep(0)

    async def _ask(self, questions: list[Question], lost: set[tuple[int, int]]) -> None:
        """Find which keys records of the database have."""
        if self.client is None:
            return
        by_index: dict[str, list[Question]] = {}
        for one in questions:
            by_index.setdefault(one.index, []).append(one)
        for index, asked in by_index.items():
            answer = await self.client.lookup(self.database, index, [one.values for one in asked], limit=1)
            for one, holders in zip(asked, answer, strict=True):
                for holder in holders:
                    key = SharedKey(index, one.text, str(holder.rid), one.rid, one.record.byte)
                    self.found.shared_count += 1
                    self._shared(key, one.record, lost)

    async def _name_shared(self, unique: UniqueKeys, lost: set[tuple[int, int]]) -> None:
        """Find which records share their keys. Where they are to be skipped all are found, otherwise the first ones."""
        suspects = unique.suspects(None if self.skip else LISTED)
        async for records in self._records(self.plan.passage()):
            for record in records:
                if record[:2] in lost:
                    continue
                try:
                    found = unique.shared(record, suspects)
                except InvalidDocument:
                    continue
                for one in found:
                    self._shared(one, record, lost)

    def _shared(self, one: SharedKey, record: ExportedRecord, lost: set[tuple[int, int]]) -> None:
        if len(self.found.shared) < LISTED:
            self.found.shared.append(one)
        if self.skip and record[:2] not in lost:
            lost.add(record[:2])
            reason = f"key {one.key} of the unique index {one.index} belongs to {one.rid}"
            self.skip(Skipped("records", f"#{record.cluster}:{record.position}", record.byte, reason))

    def _unfit(self, record: ExportedRecord, error: RecordTooLarge | InvalidDocument) -> None:
        if self.skip is None and not self.plan.options.dry_run:
            raise error
        one = Skipped("records", f"#{record.cluster}:{record.position}", record.byte, str(error))
        self.found.unfit_count += 1
        if len(self.found.unfit) < LISTED:
            self.found.unfit.append(one)
        if self.skip:
            self.skip(one)


def skips(plan: ImportPlan) -> bool:
    """Whether records that cannot be imported are passed over."""
    return plan.options.on_error == OnError.SKIP


def _check_size(record: ExportedRecord) -> None:
    if len(record.body) > RECORD_BYTES:
        raise RecordTooLarge(size=len(record.body), limit=RECORD_BYTES)


def _pass_over(byte: int, rid: str, error: NotARecord) -> None:
    """Such a record was refused, or noted as skipped, when the file was read for the first time."""
