"""A small database of people, and writers that keep what was acknowledged to them."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

from quiesce import RID, Client
from quiesce.errors import OutcomeUnknown, QuiesceError
from quiesce.records import create, update
from quiesce.v1.database_pb2 import ClassDefinition, IndexDefinition, IndexField, PropertyDefinition, SchemaChange

DATABASE = "people"


def person(number: int, **more: object) -> dict[str, object]:
    return {"number": number, "name": f"Person {number}", **more}


def make_database(client: Client, people: int = 0, *, database: str = DATABASE) -> list[RID]:
    """Create the class Person with a unique index on `number`, and so many of them."""
    client.create_database(database)
    number = PropertyDefinition(name="number", type="INTEGER")
    fields = [IndexField(name="number", key_type="INTEGER", by=IndexField.BY_VALUE)]
    unique = IndexDefinition(
        name="Person.number", type="UNIQUE", class_name="Person", fields=fields, maintained=True, algorithm="CELL_BTREE"
    )
    client.alter_schema(
        database,
        [
            SchemaChange(create_class=ClassDefinition(name="Person", properties=[number])),
            SchemaChange(create_index=unique),
        ],
    )
    made: list[RID] = []
    for first in range(0, people, 500):
        numbers = range(first, min(first + 500, people))
        answer = client.write(database, [create(person(n), class_name="Person") for n in numbers])
        made += [RID.of(record) for record in answer.written]
    return made


def contents(client: Client, database: str = DATABASE) -> dict[RID, tuple[int, bytes]]:
    """Return every record of a database, as (version, body)."""
    return {
        RID.of(record): (record.version, record.body)
        for answer in client.scan(database, whole=True)
        for record in answer.records
    }


@dataclass(eq=False)
class Writer(threading.Thread):
    """Writes people one after the other until it is told to end, each with a number of its own."""

    client: Client
    first: int
    acknowledged: dict[int, RID] = field(default_factory=dict)
    changed: dict[RID, int] = field(default_factory=dict)
    failures: list[QuiesceError] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self._random = random.Random(self.first)

    def run(self) -> None:
        number = self.first
        while not self.ended.is_set():
            try:
                answer = self.client.write(DATABASE, [create(person(number), class_name="Person")])
                rid = RID.of(answer.written[0])
                self.acknowledged[number] = rid
                if self._random.random() < 0.5:
                    answer = self.client.write(
                        DATABASE, [update(rid, {"@class": "Person", **person(number, seen=True)})]
                    )
                    self.changed[rid] = answer.written[0].version
            except OutcomeUnknown:
                pass
            except QuiesceError as error:
                self.failures.append(error)
            number += 1

    def end(self) -> None:
        self.ended.set()
        self.join(60)
        assert not self.is_alive(), "the writer hangs"

    def check(self, found: dict[RID, tuple[int, bytes]]) -> None:
        """Check that all that was acknowledged is there, and no number is there twice."""
        for number, rid in self.acknowledged.items():
            assert rid in found, f"person {number}, acknowledged as {rid}, is lost"
            version, body = found[rid]
            assert f'"number":{number},'.encode() in body.replace(b" ", b"")
            assert version >= self.changed.get(rid, 1), f"a change of {rid} is lost"


def hammer(client: Client, count: int = 4) -> list[Writer]:
    """Start writers."""
    writers = [Writer(client, first=1_000_000 * (n + 1)) for n in range(count)]
    for writer in writers:
        writer.start()
    return writers


def check_all(writers: list[Writer], found: dict[RID, tuple[int, bytes]]) -> None:
    """End the writers, and check what each was told."""
    numbers = [body for _, body in found.values() if b'"Person' in body]
    assert len(numbers) == len({_number(body) for body in numbers}), "a write was applied twice"
    for writer in writers:
        assert writer.acknowledged, "the writer was never answered: the test shows nothing"
        writer.check(found)


def _number(body: bytes) -> bytes:
    return body.split(b'"number":')[1].split(b",")[0]
