"""What must be in the restored cluster, from what the clients were told alone.

That is the records before the load, changed by each write that was acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from demo.journal import Acknowledged
from nodes.store.schema import DatabaseSchema
from quiesce.indexing.body import class_of
from quiesce.indexing.entries import entries_of
from quiesce.rpc import open_channel
from quiesce.v1 import database_pb2, record_pb2, record_pb2_grpc

Place = tuple[int, int]


@dataclass
class Content:
    """Records by place as (version, body), and the log index at which they were read."""

    index: int
    database: database_pb2.Database
    records: dict[Place, tuple[int, bytes]] = field(default_factory=dict)


async def read_content(address: str, database: str) -> Content:
    """Read a whole database from one node, at one index, linearizably."""
    content: Content | None = None
    async with open_channel(address) as channel:
        request = record_pb2.ScanRequest(database=database, whole_database=True)
        async for answer in record_pb2_grpc.RecordsStub(channel).Scan(request):
            if content is None:
                content = Content(answer.index, answer.database)
            for record in answer.records:
                content.records[record.cluster, record.position] = (record.version, record.body)
    assert content is not None, "a scan of a whole database begins with the database"
    return content


async def read_entries(address: str, database: str, index_name: str) -> set[tuple[bytes, Place]]:
    """Read every entry of an index from one node, as (key, record)."""
    found: set[tuple[bytes, Place]] = set()
    async with open_channel(address) as channel:
        request = record_pb2.ScanIndexRequest(database=database, index_name=index_name)
        async for answer in record_pb2_grpc.RecordsStub(channel).ScanIndex(request):
            found.update((entry.key, (entry.id.cluster, entry.id.position)) for entry in answer.entries)
    return found


def expected_entries(
    database: database_pb2.Database, records: dict[Place, tuple[int, bytes]]
) -> dict[str, set[tuple[bytes, Place]]]:
    """Return the entries that each index that is kept must have for these records."""
    schema = DatabaseSchema(database)
    entries: dict[str, set[tuple[bytes, Place]]] = {index.name: set() for index in database.indexes if index.maintained}
    for place, (_, body) in records.items():
        if place[0] not in schema.owners or (name := class_of(body, str(place))) is None:
            continue
        plan = schema.plan(name)
        values = plan.read(body)[1] if plan.read else ()
        for index in plan.indexes:
            for key in entries_of(index, values, plan.places, b"", str(place)):
                entries[index.name].add((key[len(index.prefix) :], place))
    return entries


def play(before: Content, writes: Iterable[Acknowledged], mark: int) -> dict[Place, tuple[int, bytes]]:
    """Return what the records must be at `mark`: those before, changed by the writes acknowledged up to it.

    Of several writes to one record the greatest version is the last, and a removed record never comes back.
    """
    records = dict(before.records)
    removed: set[Place] = set()
    for write in writes:
        place = (write.cluster, write.position)
        if not before.index < write.index <= mark or place in removed:
            continue
        if write.body is None:
            removed.add(place)
            records.pop(place, None)
        elif place not in records or records[place][0] < write.version:
            records[place] = (write.version, write.body)
    return records


def differences(expected: dict[Place, tuple[int, bytes]], found: dict[Place, tuple[int, bytes]]) -> list[str]:
    """Return what is wrong with `found`, a line each."""
    wrong = [f"#{place[0]}:{place[1]} is missing" for place in expected.keys() - found.keys()]
    wrong += [f"#{place[0]}:{place[1]} must not be there" for place in found.keys() - expected.keys()]
    for place in expected.keys() & found.keys():
        if expected[place] != found[place]:
            wrong.append(f"#{place[0]}:{place[1]} is {found[place]}, not {expected[place]}")
    return sorted(wrong)


async def index_differences(
    address: str, database: database_pb2.Database, records: dict[Place, tuple[int, bytes]]
) -> tuple[int, list[str]]:
    """Compare a node's index entries with what the records say; return how many there must be, and what is wrong."""
    wrong: list[str] = []
    count = 0
    for name, expected in expected_entries(database, records).items():
        found = await read_entries(address, database.name, name)
        count += len(expected)
        wrong += [f"index {name} lacks {entry}" for entry in sorted(expected - found)]
        wrong += [f"index {name} has {entry} too many" for entry in sorted(found - expected)]
    return count, wrong
