"""Reads a database for one statement: all that it reads is of one moment, or of a later one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from quiesce.client import Client
from quiesce.records import RID, Record

# Records of one key of an index that are asked for; a query whose key has more scans instead.
LOOKUP_RECORDS = 10_000


class Reader(Protocol):
    """Where a statement's records come from."""

    def scan(
        self, *, class_name: str | None = None, cluster: int | None = None, limit: int = 0
    ) -> Iterator[list[Record]]:
        """Yield the records of a class with its sub-classes, or of a cluster, all of one moment; `limit` 0 is all."""

    def get(self, rids: Sequence[RID]) -> list[Record]:
        """Return records by their ids; those that do not exist are left out."""

    def look_up(self, index: str, keys: Sequence[Sequence[Any]]) -> list[Record] | None:
        """Return the records under some keys, each once; None where they are too many for an answer."""

    def entries(self, index: str) -> Iterator[list[tuple[bytes, RID]]]:
        """Yield the entries of an index in the order of their keys, all of one moment."""


class ClientReader:
    """Reads through a client. What is read later is never of an earlier moment than what was read before."""

    def __init__(self, client: Client, database: str) -> None:
        self._client = client
        self._database = database
        self.log_index = 0

    def scan(
        self, *, class_name: str | None = None, cluster: int | None = None, limit: int = 0
    ) -> Iterator[list[Record]]:
        """See Reader."""
        answers = self._client.scan(
            self._database, class_name=class_name, cluster=cluster, limit=limit, min_index=self.log_index
        )
        for answer in answers:
            self.log_index = max(self.log_index, answer.index)
            yield [Record.of(record) for record in answer.records]

    def get(self, rids: Sequence[RID]) -> list[Record]:
        """See Reader."""
        # `#-1:-1` is OrientDB's link to nothing.
        there = [rid for rid in rids if rid.cluster >= 0 and rid.position >= 0]
        if not there:
            return []
        found = self._client.get(self._database, there, min_index=self.log_index)
        self.log_index = max(self.log_index, found.log_index)
        return list(found.values())

    def look_up(self, index: str, keys: Sequence[Sequence[Any]]) -> list[Record] | None:
        """See Reader."""
        found = self._client.lookup(self._database, index, keys, limit=LOOKUP_RECORDS, min_index=self.log_index)
        self.log_index = max(self.log_index, found.log_index)
        if any(matches.truncated for matches in found):
            return None
        return list({record.rid: record for matches in found for record in matches}.values())

    def entries(self, index: str) -> Iterator[list[tuple[bytes, RID]]]:
        """See Reader."""
        for answer in self._client.scan_index(self._database, index, min_index=self.log_index):
            self.log_index = max(self.log_index, answer.index)
            yield [(entry.key, RID.of(entry.id)) for entry in answer.entries]
