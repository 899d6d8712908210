"""The transactions of a statement: of bounded size, tried again where others get in between, and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from quiesce.errors import PartlyApplied, PositionTaken, QuiesceError, StaleVersion, UnknownRecord
from quiesce.sql.catalog import Catalog
from quiesce.sql.reading import Reader
from quiesce.sql.rows import Element
from quiesce.v1.record_pb2 import Operation, WriteResponse

Result = TypeVar("Result")
# Records of one transaction. Other writers wait for it, so it is far below what a transaction may hold.
BATCH_RECORDS = 500
BATCH_BYTES = 4 << 20
# How often a transaction is tried that others get in the way of.
TRIES = 20


class Store(Protocol):
    """The database that is changed."""

    def reader(self) -> Reader:
        """Return a reader that sees all that was written before."""

    def write(self, operations: Sequence[Operation]) -> WriteResponse:
        """Apply one transaction, exactly once."""

    def catalog(self) -> Catalog:
        """Read the database's definition."""


def tried(store: Store, attempt: Callable[[], tuple[list[Operation], Result]]) -> Result:
    """Write what an attempt makes of what it reads; where that has changed meanwhile, let it read again.

    Raises:
        StaleVersion, PositionTaken, UnknownRecord: others got in between every time.
    """
    for left in reversed(range(TRIES)):
        operations, result = attempt()
        try:
            if operations:
                store.write(operations)
        except (StaleVersion, PositionTaken, UnknownRecord):
            if not left:
                raise
        else:
            return result
    raise AssertionError


class Progress:
    """How many records a statement has changed so far."""

    def __init__(self) -> None:
        self.applied = 0

    def step(self, work: Callable[[], Result]) -> Result:
        """Do a part of the work.

        Raises:
            PartlyApplied: it failed behind others that are done.
        """
        try:
            return work()
        except QuiesceError as error:
            if self.applied:
                raise PartlyApplied(applied=self.applied, cause=error.message()) from error
            raise
        except KeyboardInterrupt:
            if self.applied:
                raise PartlyApplied(
                    applied=self.applied,
                    cause="it was interrupted, and the transaction under way may be applied or not",
                ) from None
            raise

    def add(self, work: Callable[[], int]) -> None:
        """Do a part of the work that changes so many records as it returns."""
        self.applied += self.step(work)


def batched(elements: Iterable[Element]) -> Iterator[list[Element]]:
    """Yield records in batches of the size of a transaction."""
    batch: list[Element] = []
    size = 0
    for element in elements:
        batch.append(element)
        size += element.size
        if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
