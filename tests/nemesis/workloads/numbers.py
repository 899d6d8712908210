"""Numbers in a unique index: clients race to insert the same one, look it up, and delete it."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from functools import partial
from random import Random
from typing import Any

from quiesce import AsyncClient
from quiesce.errors import DuplicateKey, UnknownRecord
from quiesce.records import RID, Record, create, delete
from quiesce.v1.database_pb2 import ClassDefinition, IndexDefinition, IndexField, PropertyDefinition, SchemaChange
from tests.nemesis.history import Operation
from tests.nemesis.keyed import Answer, Key
from tests.nemesis.models import UniqueKey
from tests.nemesis.ways import Way, open_way
from tests.nemesis.world import Contents, World

DATABASE = "numbers"
INDEX = "Number.number"
_CLIENTS = {"session": 2, "hand": 1, "twice": 1}
_IN_USE = 4
_PAUSE_S = 0.02


class NumberKey(Key):
    """A number, and the holders that were seen."""

    def __init__(self, number: int, world: World) -> None:
        super().__init__(f"number {number}", UniqueKey(), world.recorder)
        self.number = number
        # Where each holder is, by its token.
        self.holders: dict[str, RID] = {}


class Numbers:
    """The numbers and their clients."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._all: list[NumberKey] = []
        self._in_use: list[NumberKey] = []
        self._retired: list[NumberKey] = []

    async def prepare(self, client: AsyncClient) -> None:
        await client.create_database(DATABASE)
        number = PropertyDefinition(name="number", type="INTEGER")
        unique = IndexDefinition(
            name=INDEX,
            type="UNIQUE",
            class_name="Number",
            fields=[IndexField(name="number", key_type="INTEGER", by=IndexField.BY_VALUE)],
            maintained=True,
            algorithm="CELL_BTREE",
        )
        made = ClassDefinition(name="Number", properties=[number])
        await client.alter_schema(DATABASE, [SchemaChange(create_class=made), SchemaChange(create_index=unique)])

    def clients(self) -> Iterator[Coroutine[Any, Any, None]]:
        for way, count in _CLIENTS.items():
            for number in range(count):
                yield self._work(way, f"numbers-{way}-{number}")

    def judge(self, contents: Contents) -> None:
        found: dict[int, list[str]] = {}
        for record in contents[DATABASE].values():
            document = record.document()
            found.setdefault(int(str(document["number"])), []).append(str(document["token"]))
        for key in self._all:
            holders = found.pop(key.number, [])
            if len(holders) > 1:
                self._world.recorder.violate(f"{key.name} is there {len(holders)} times: {holders}")
            key.saw_last(holders[0] if holders else None, "lookup")
            key.judge()
        if found:
            self._world.recorder.violate(f"nobody inserted the numbers {sorted(found)}")

    def histories(self) -> dict[str, list[Operation]]:
        return {key.name: [*key.operations, *key.failed] for key in self._all}

    def _choose(self, rng: Random) -> NumberKey:
        self._retired += [key for key in self._in_use if key.worn]
        self._in_use = [key for key in self._in_use if not key.worn]
        for key in [key for key in self._retired if not key.pending]:
            self._retired.remove(key)
            key.judge()
        while len(self._in_use) < _IN_USE:
            self._all.append(key := NumberKey(len(self._all), self._world))
            self._in_use.append(key)
        return rng.choice(self._in_use)

    async def _work(self, kind: str, name: str) -> None:
        rng = self._world.random(name)
        async with open_way(kind, name, self._world) as way:
            async for turn in self._world.turns(rng, _PAUSE_S):
                key = self._choose(rng)
                token = f"{name}/{turn}"
                chosen = rng.choices(["insert", "lookup", "delete"], [40, 30, 30])[0]
                if chosen == "insert":
                    await key.run(name, chosen, token, partial(_insert, key, way, token))
                elif chosen == "lookup" or not key.holders:
                    await key.run(name, "lookup", None, partial(_lookup, key, way))
                else:
                    token = rng.choice(list(key.holders)[-3:])
                    await key.run(name, chosen, token, partial(_delete, key, way, token))


async def _insert(key: NumberKey, way: Way, token: str) -> Answer:
    change = create({"number": key.number, "token": token}, class_name="Number")
    try:
        answer = await way.write(DATABASE, [change])
    except DuplicateKey:
        return Answer(False)
    key.holders[token] = RID.of(answer.written[0])
    return Answer(True, answer.index, changed=True)


async def _lookup(key: NumberKey, way: Way) -> Answer:
    found, index = await way.lookup(DATABASE, INDEX, [key.number])
    tokens = [_token(record) for record in found.values()]
    for record in found.values():
        key.holders[_token(record)] = record.rid
    # More than one fits no state.
    return Answer(tokens[0] if len(tokens) == 1 else " and ".join(tokens) or None, index)


async def _delete(key: NumberKey, way: Way, token: str) -> Answer:
    try:
        answer = await way.write(DATABASE, [delete(key.holders[token])])
    except UnknownRecord:
        return Answer(False)
    return Answer(True, answer.index, changed=True)


def _token(record: Record) -> str:
    return str(record.document()["token"])
