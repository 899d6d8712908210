"""What reads return: the records, and the log index that they are of."""

from __future__ import annotations

from collections.abc import Iterable

from quiesce.records import RID, Record
from quiesce.v1 import record_pb2


class Found(dict[RID, Record]):
    """Records by their ids, as they were at the log index `log_index`."""

    def __init__(self, index: int, records: Iterable[Record]) -> None:
        super().__init__((record.rid, record) for record in records)
        self.log_index = index


class Matches(list[Record]):
    """The records found under one key of an index."""

    def __init__(self, match: record_pb2.LookupMatch) -> None:
        super().__init__(map(Record.of, match.records))
        # The index holds more under this key than were asked for.
        self.truncated = match.truncated


class Lookup(list[Matches]):
    """The matches of each key, in order, as they were at the log index `log_index`."""

    def __init__(self, answer: record_pb2.LookupResponse) -> None:
        super().__init__(map(Matches, answer.matches))
        self.log_index = answer.index
