"""Random writes into a database of a cluster: every type of value, links, updates, deletions."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from quiesce import Client
from quiesce.records import (
    RID,
    Byte,
    Document,
    Float,
    LinkBag,
    LinkList,
    LinkMap,
    LinkSet,
    Long,
    Short,
    create,
    create_blob,
    delete,
    update,
)
from quiesce.v1.database_pb2 import ClassDefinition, IndexDefinition, IndexField, PropertyDefinition, SchemaChange
from quiesce.v1.record_pb2 import Operation

CLASS = "Scribble"
# So it is at a list whose first item is a text like a record id, and others are not: all are taken for links.
_TEXTS = [
    "",
    "x",
    'say "no"',
    "back\\slash",
    "a\tb\nc",
    "\b\f\x7f",
    "\u2028Łódź\U0001f600",
    "/a",
    "{[(<,;:=",
    "#5:0",
    "'",
]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Scribbler:
    """Writes into one database; the same seed writes the same."""

    def __init__(self, client: Client, database: str, seed: int) -> None:
        self._client = client
        self._database = database
        self._dice = random.Random(seed)
        self._rids: list[RID] = []
        self._serial = 0

    def prepare(self) -> None:
        """Create a class with properties and a unique index."""
        declared = [
            PropertyDefinition(name="serial", type="LONG"),
            PropertyDefinition(name="day", type="DATE"),
            PropertyDefinition(name="peers", type="LINKSET"),
            PropertyDefinition(name="tags", type="EMBEDDEDSET", linked_type="STRING"),
        ]
        key = [IndexField(name="serial", key_type="LONG")]
        self._client.alter_schema(
            self._database,
            [
                SchemaChange(create_class=ClassDefinition(name=CLASS, properties=declared)),
                SchemaChange(
                    create_index=IndexDefinition(name=f"{CLASS}.serial", type="UNIQUE", class_name=CLASS, fields=key)
                ),
            ],
        )
        database = self._client.database(self._database)
        self._default = next(one.id for one in database.clusters if one.name == "default")

    def write(self, transactions: int) -> None:
        """Write so many transactions."""
        for _ in range(transactions):
            gone: set[RID] = set()
            operations = [self._operation(gone) for _ in range(self._dice.randint(1, 8))]
            answer = self._client.write(self._database, operations)
            for one, written in zip(operations, answer.written, strict=True):
                if one.WhichOneof("operation") == "create":
                    self._rids.append(RID(written.cluster, written.position))

    def _operation(self, gone: set[RID]) -> Operation:
        kind = self._dice.random()
        free = [one for one in self._rids if one not in gone]
        if kind < 0.7 or not free:
            self._serial += 1
            if kind < 0.05:
                return create_blob(self._dice.randbytes(self._dice.randint(0, 50)), cluster=self._default)
            return create(self._document(), class_name=CLASS)
        victim = self._dice.choice(free)
        gone.add(victim)
        if kind < 0.9 and victim.cluster != self._default:
            self._serial += 1
            return update(victim, self._document())
        self._rids.remove(victim)
        return delete(victim)

    def _document(self) -> Document:
        document = Document({"@class": CLASS, "serial": Long(self._serial)})
        if self._dice.random() < 0.5:
            document["day"] = date(2020, 1, 1) + timedelta(days=self._dice.randint(-9_000, 9_000))
        if self._dice.random() < 0.5:
            document["peers"] = LinkSet({self._rid() for _ in range(3)})
        if self._dice.random() < 0.5:
            document["tags"] = {self._text() + "." for _ in range(3)}
        for number in range(self._dice.randint(0, 6)):
            document[f"f{number}"] = self._dice.choice(self._kinds())()
        return document

    def _kinds(self) -> list[Callable[[], Any]]:
        dice = self._dice
        return [
            lambda: None,
            lambda: dice.random() < 0.5,
            lambda: dice.randint(-(2**31), 2**31 - 1),
            lambda: Long(dice.randint(-(2**63), 2**63 - 1)),
            lambda: Short(dice.randint(-(2**15), 2**15 - 1)),
            lambda: Byte(dice.randint(-128, 127)),
            lambda: Float(dice.choice([0.1, -0.0, 1.5e30, 3.0, 1e-40])),
            lambda: dice.choice([0.1, -0.0, 1e300, 5e-324, 3.0, dice.random()]),
            lambda: Decimal(dice.choice(["0", "3.10", "-1E+30", "123456789012345678901234567890.123", "1E-20"])),
            lambda: _EPOCH + timedelta(milliseconds=dice.randint(-(10**13), 10**13)),
            lambda: dice.randbytes(dice.randint(0, 9)),
            self._text,
            self._rid,
            lambda: LinkList([self._rid() for _ in range(dice.randint(1, 3))]),
            lambda: LinkBag([self._rid() for _ in range(dice.randint(1, 3))]),
            lambda: LinkMap({f"k{n}": self._rid() for n in range(2)}),
            lambda: [self._plain() for _ in range(3)],
            lambda: {f"k {n}": self._plain() for n in range(2)},
            lambda: {self._text() + "!" for _ in range(3)},
            lambda: Document({"@class": CLASS, "inner": self._plain(), "at": Long(7), "one": self._rid()}),
            lambda: Document({"inner": [self._plain()], "deep": Document({"n": Short(1), "t": self._text() + "?"})}),
        ]

    def _rid(self) -> RID:
        return self._dice.choice(self._rids) if self._rids else RID(4, 0)

    def _text(self) -> str:
        return self._dice.choice(_TEXTS)

    def _plain(self) -> Any:
        return self._dice.choice([None, True, 7, -2.5, self._text() + "."])
