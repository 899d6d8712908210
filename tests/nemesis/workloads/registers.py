"""Registers: one record a key, read, written and exchanged by version."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from random import Random
from typing import Any

from quiesce import AsyncClient
from quiesce.errors import StaleVersion
from quiesce.records import Record, update
from quiesce.v1.database_pb2 import ClassDefinition, SchemaChange
from tests.nemesis.history import Operation
from tests.nemesis.keyed import Answer
from tests.nemesis.outcomes import Failed, Unknown, by_hand
from tests.nemesis.raw import STALE
from tests.nemesis.ways import Way, open_way
from tests.nemesis.workloads.ring import CLASS, DATABASE, RegisterKey, Ring, value_of
from tests.nemesis.world import Contents, World

_CLIENTS = {"session": 4, "hand": 2, "twice": 2}
_STALE_READERS = 2
_PAUSE_S = 0.01


class Registers:
    """The keys and their clients."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ring = Ring(world)

    async def prepare(self, client: AsyncClient) -> None:
        await client.create_database(DATABASE)
        await client.alter_schema(DATABASE, [SchemaChange(create_class=ClassDefinition(name=CLASS))])
        await self._ring.fill(client)

    def clients(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._ring.keep_filled()
        for way, count in _CLIENTS.items():
            for number in range(count):
                yield self._work(way, f"{way}-{number}")
        for number in range(_STALE_READERS):
            yield self._read_stale(f"stale-{number}")

    def judge(self, contents: Contents) -> None:
        self._ring.judge(contents[DATABASE])

    def histories(self) -> dict[str, list[Operation]]:
        return {key.name: [*key.operations, *key.failed] for key in self._ring.all}

    async def _work(self, kind: str, name: str) -> None:
        rng = self._world.random(name)
        async with open_way(kind, name, self._world) as way:
            async for turn in self._world.turns(rng, _PAUSE_S):
                key = self._ring.choose(rng)
                if key is not None:
                    await _operate(key, way, name, turn, rng)

    async def _read_stale(self, name: str) -> None:
        """Read what a node has, whatever that is: its index says what it must be."""
        rng, recorder = self._world.random(name), self._world.recorder
        async with self._world.raw(name) as raw:
            async for _ in self._world.turns(rng, 2 * _PAUSE_S):
                keys = {key.rid: key for key in self._ring.some(rng, 6)}
                node = raw.any_node()
                try:
                    answer = await by_hand(raw.get(node, DATABASE, keys, STALE))
                except (Failed, Unknown):
                    recorder.count("stale read", "failed")
                    continue
                recorder.count("stale read", "ok")
                # What one node has applied is committed, and part of whatever is asked for from now on.
                recorder.floor = max(recorder.floor, answer.index)
                for record in map(Record.of, answer.records):
                    keys[record.rid].see(answer.index, record, f"{name} at node {node}")


async def _operate(key: RegisterKey, way: Way, name: str, turn: int, rng: Random) -> None:
    kind = rng.choices(["read", "write", "cas"], [45, 25, 30])[0]
    if kind == "read":
        await key.run(name, kind, None, lambda: _read(key, way, name))
        return
    value = f"{name}/{turn}"
    if kind == "write":
        await key.run(name, kind, value, lambda: _write(key, way, name, value, None))
        return
    # From what was seen last, now and then from before.
    expected = max(1, key.version - rng.choice([0, 0, 0, 0, 1]))
    await key.run(name, kind, (expected, value), lambda: _write(key, way, name, value, expected))


async def _read(key: RegisterKey, way: Way, name: str) -> Answer:
    found, index = await way.get(DATABASE, [key.rid])
    record = found.get(key.rid)
    if record is None:
        return Answer((0, "no such record"), index)
    if index:
        key.see(index, record, name)
    key.version = max(key.version, record.version)
    return Answer((record.version, value_of(record)), index)


async def _write(key: RegisterKey, way: Way, name: str, value: str, expected: int | None) -> Answer:
    change = update(key.rid, {"@class": CLASS, "value": value}, expected_version=expected)
    try:
        answer = await way.write(DATABASE, [change])
    except StaleVersion as error:
        if expected is None:
            raise
        key.version = max(key.version, found := int(error.fields["actual"]))
        return Answer((False, found))
    version = answer.written[0].version
    key.version = max(key.version, version)
    key.changed(answer.index, version, value, name)
    return Answer(version if expected is None else (True, version), answer.index, changed=True)
