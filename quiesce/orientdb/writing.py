"""Writes the records of an export, in batches of which several are on their way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from quiesce.errors import RecordTooLarge
from quiesce.orientdb.checking import skips
from quiesce.orientdb.import_progress import ImportProgress
from quiesce.orientdb.in_flight import InFlight
from quiesce.orientdb.plan import ImportPlan, Passage
from quiesce.orientdb.reader import ExportReader
from quiesce.orientdb.record_text import ExportedRecord, NotARecord
from quiesce.rpc.limits import MEBIBYTE, RECORD_BYTES
from quiesce.v1.record_pb2 import Fill, Operation, WriteResponse

BATCH_RECORDS = 1_000
BATCH_BYTES = MEBIBYTE
# Enough to keep the leader's disk and two followers busy at once; each is a batch in memory here and there.
BATCHES_IN_FLIGHT = 8
WRITE_TIMEOUT_S = 60.0


class WriteClient(Protocol):
    """What writing needs of quiesce.client.AsyncClient."""

    async def write(  # noqa: D102
        self, database: str, operations: Sequence[Operation], *, timeout_s: float | None = None
    ) -> WriteResponse: ...


def batches(records: Iterable[ExportedRecord]) -> Iterator[list[ExportedRecord]]:
    """Cut records into batches of BATCH_RECORDS and BATCH_BYTES at most; a larger record goes alone."""
    batch: list[ExportedRecord] = []
    size = 0
    for record in records:
        length = len(record.body)
        if length > RECORD_BYTES:
            raise RecordTooLarge(size=length, limit=RECORD_BYTES)
        if batch and (len(batch) >= BATCH_RECORDS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += length
    if batch:
        yield batch


class RecordWriter:
    """Writes the records of a plan into clusters that nobody sees yet."""

    def __init__(
        self, client: WriteClient, database: str, plan: ImportPlan, passage: Passage, progress: ImportProgress
    ) -> None:
        self._client = client
        self._database = database
        self._plan = plan
        self._passage = passage
        self._progress = progress
        self._written = 0
        # The total is set anew as records are found that are skipped.
        self._names = {one.id: plan.names.get(one.id, one.name) for one in plan.found.clusters}
        # In a dictionary index the last record of a key counts, so their order must be the file's.
        ordered = any(one.definition.type.startswith("DICTIONARY") for one in plan.found.indexes)
        self._limit = 1 if ordered else BATCHES_IN_FLIGHT
        self._cluster, self._in_cluster = -1, 0

    async def run(self, extra: Iterable[ExportedRecord] = ()) -> None:
        """Write all records, and behind them some that the file does not hold, which have their final ids.

        Raises:
            DuplicateKey, ...: as the cluster answers; other batches may have been written.
        """
        flight: InFlight[None] = InFlight(self._limit)
        async with flight:
            with ExportReader(self._plan.found.path, refused=_pass_over if skips(self._plan) else None) as reader:
                for batch in batches(self._records(reader)):
                    await flight.start(self._write(fills(batch, self._passage.places(batch)), len(batch)), None)
            for batch in batches(extra):
                await flight.start(self._write(fills(batch, [one[:2] for one in batch]), len(batch)), None)
            await flight.finish()
        if self._in_cluster:
            self._progress.cluster_done(self._names[self._cluster], self._in_cluster)

    def _records(self, reader: ExportReader) -> Iterator[ExportedRecord]:
        for part in reader:
            if isinstance(part, list):
                records = self._passage.take(part)
                yield from records
                self._note(records)

    async def _write(self, operations: list[Operation], records: int) -> None:
        await self._client.write(self._database, operations, timeout_s=WRITE_TIMEOUT_S)
        self._written += records
        self._progress.written(self._written, self._plan.found.records)

    def _note(self, records: list[ExportedRecord]) -> None:
        for record in records:
            if record.cluster != self._cluster:
                if self._in_cluster:
                    self._progress.cluster_done(self._names[self._cluster], self._in_cluster)
                self._cluster, self._in_cluster = record.cluster, 0
            self._in_cluster += 1


def fills(records: Sequence[ExportedRecord], places: Sequence[tuple[int, int]]) -> list[Operation]:
    """Return what writes records at ids: one operation for each run of ascending positions in a cluster."""
    found = []
    begin, (cluster, last), kind = 0, places[0], records[0].kind
    for at, ((placed, position), record) in enumerate(zip(places, records, strict=True)):
        if at > begin and (placed != cluster or position <= last or record.kind != kind):
            found.append(_fill(records[begin:at], places[begin:at]))
            begin = at
        cluster, last, kind = placed, position, record.kind
    found.append(_fill(records[begin:], places[begin:]))
    return found


def _fill(records: Sequence[ExportedRecord], places: Sequence[tuple[int, int]]) -> Operation:
    return Operation(
        fill=Fill(
            cluster=places[0][0],
            kind=records[0].kind,
            positions=[position for _, position in places],
            versions=[one.version for one in records],
            bodies=[one.body for one in records],
        )
    )


def _pass_over(byte: int, rid: str, error: NotARecord) -> None:
    """Such a record was noted as skipped when the file was read for the first time."""
