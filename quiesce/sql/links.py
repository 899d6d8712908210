"""Follows links in batches: what an expression meets and does not have is fetched for many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from quiesce.errors import AnswerTooLarge, StatementTooLarge
from quiesce.records import RID, Record
from quiesce.rpc.limits import GET_IDS
from quiesce.sql.rows import Element

Item = TypeVar("Item")
Result = TypeVar("Result")
# Reads records by their ids; those that do not exist are left out.
Fetch = Callable[[Sequence[RID]], Iterable[Record]]

# Bodies of linked records that are kept at a time. In memory a record takes some times its body.
CACHE_BYTES = 32 << 20


class LinkMissing(Exception):
    """A record is needed that is not here yet; it has been noted."""


class Links:
    """The records that links led to, as far as they are here."""

    def __init__(self, fetch: Fetch, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._fetch = fetch
        self._cache_bytes = cache_bytes
        self._known: dict[RID, Element | None] = {}
        self._wanted: dict[RID, None] = {}
        self._size = 0

    def get(self, rid: RID) -> Element | None:
        """Return the record; None where there is none.

        Raises:
            LinkMissing: it has to be fetched first.
        """
        try:
            return self._known[rid]
        except KeyError:
            self._wanted[rid] = None
            raise LinkMissing from None

    def get_all(self, rids: Iterable[RID]) -> list[Element | None]:
        """Return records, in order.

        Raises:
            LinkMissing: some have to be fetched first.
        """
        wanted = list(rids)
        missing = [rid for rid in wanted if rid not in self._known]
        if missing:
            self._wanted.update(dict.fromkeys(missing))
            raise LinkMissing
        return [self._known[rid] for rid in wanted]

    def each(
        self, batches: Iterable[Sequence[Item]], compute: Callable[[Item], Result]
    ) -> Iterator[tuple[Item, Result]]:
        """Yield each item with what is computed of it, in order, fetching what that takes.

        Args:
            batches: the items, in batches that are small enough to be held.
            compute: what to do with one; it may be called again until all that it needs is here.

        Raises:
            StatementTooLarge: one item needs more linked records than are kept at a time.
        """
        for batch in batches:
            yield from self._batch(batch, compute)

    def now(self, compute: Callable[[], Result]) -> Result:
        """Compute one thing, fetching what that takes."""
        return next(self._batch([None], lambda _: compute()))[1]

    def _batch(self, batch: Sequence[Item], compute: Callable[[Item], Result]) -> Iterator[tuple[Item, Result]]:
        done = 0
        window = len(batch)
        found: dict[int, Result] = {}
        alone = False
        while done < len(batch):
            for place in range(done, min(done + window, len(batch))):
                if place in found:
                    continue
                try:
                    found[place] = compute(batch[place])
                except LinkMissing:
                    if len(self._wanted) >= GET_IDS:
                        break
            while done in found:
                yield batch[done], found.pop(done)
                done += 1
                alone = False
            if self._wanted:
                if self._size > self._cache_bytes:
                    self._make_room(alone)
                    window, alone = 1, True
                self._fetch_wanted()

    def _make_room(self, alone: bool) -> None:
        """Forget what is here; where it was all for one row, there is no way on."""
        if alone:
            limit = self._cache_bytes >> 20
            raise StatementTooLarge(
                limit=limit, unit="MiB", purpose="the records that one row links to", remedy="follow fewer links"
            )
        self._known.clear()
        self._size = 0

    def _fetch_wanted(self) -> None:
        wanted, self._wanted = list(self._wanted), {}
        for first in range(0, len(wanted), GET_IDS):
            self._take(wanted[first : first + GET_IDS])

    def _take(self, rids: Sequence[RID]) -> None:
        try:
            records = list(self._fetch(rids))
        except AnswerTooLarge:
            if len(rids) == 1:
                raise
            half = len(rids) // 2
            self._take(rids[:half])
            self._take(rids[half:])
            return
        self._known.update(dict.fromkeys(rids))
        for record in records:
            self._known[record.rid] = Element.of(record)
            self._size += len(record.body)
