"""A process that reads and writes through the client library at a fixed rate, and keeps what was acknowledged.

Open loop: each request has a time at which it is due, whether or not the ones before it are answered, and its
latency counts from that time; a cluster that stops for a second shows as a second of latency in every request that
was due meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from demo.journal import Acknowledged, Journal, Request
from quiesce import RID, AsyncClient
from quiesce.errors import QuiesceError
from quiesce.records import create, decode_document, delete, update
from quiesce.v1 import record_pb2

READ_SHARE = 0.8
BATCH = 5


class Load:
    """Reads of cities and airports; writes that change, make and remove cities, each city by one writer at a time."""

    def __init__(self, client: AsyncClient, database: str, cities: list[RID], countries: list[RID], seed: int) -> None:
        self._client = client
        self._database = database
        self._cities = cities
        self._countries = countries
        self._random = random.Random(seed)
        self._made: list[tuple[RID, int]] = []
        self._busy: set[RID] = set()
        self._count = 0
        self.acknowledged: list[Acknowledged] = []

    async def read(self) -> None:
        """Get five cities by id, or the cities of a country's link by index."""
        if self._random.random() < 0.7:
            ids = self._random.sample(self._cities, BATCH)
            found = await self._client.get(self._database, ids)
            if len(found) != BATCH:
                raise AssertionError(f"cities are missing: {set(ids) - set(found)}")
        else:
            country = self._random.choice(self._countries)
            await self._client.lookup(self._database, "City.country_name", [[country, "Springfield"]])

    async def write(self) -> None:
        """Change a batch of cities, or make some, or remove one that was made."""
        choice = self._random.random()
        if choice < 0.7:
            await self._change()
        elif choice < 0.9 or not self._made:
            await self._make()
        else:
            await self._remove()

    async def _change(self) -> None:
        free = [rid for rid in self._random.sample(self._cities, 2 * BATCH) if rid not in self._busy][:BATCH]
        self._busy.update(free)
        try:
            found = await self._client.get(self._database, free)
            operations, bodies = [], []
            for rid, record in found.items():
                document = decode_document(record.body)
                document["population"] = self._random.randrange(1, 40_000_000)
                operations.append(update(rid, document, expected_version=record.version))
                bodies.append(operations[-1].update.body)
            self._note(await self._client.write(self._database, operations), bodies)
        finally:
            self._busy.difference_update(free)

    async def _make(self) -> None:
        self._count += 1
        operations = [
            create(
                {
                    "name": f"New city {self._count}-{i}",
                    "country": self._random.choice(self._countries),
                    "geonameid": 100_000_000 + self._count * BATCH + i,
                    "population": i,
                },
                class_name="City",
            )
            for i in range(BATCH)
        ]
        answer = await self._client.write(self._database, operations)
        self._note(answer, [operation.create.body for operation in operations])
        self._made += [(RID(record.cluster, record.position), record.version) for record in answer.written]

    async def _remove(self) -> None:
        rid, version = self._made.pop(self._random.randrange(len(self._made)))
        self._note(await self._client.write(self._database, [delete(rid, expected_version=version)]), [None])

    def _note(self, answer: record_pb2.WriteResponse, bodies: Sequence[bytes | None]) -> None:
        for record, body in zip(answer.written, bodies, strict=True):
            rid = (record.cluster, record.position)
            self.acknowledged.append(Acknowledged(answer.index, *rid, record.version, body))

    def pick(self) -> tuple[str, Callable[[], Awaitable[None]]]:
        """Return what the next request is."""
        return ("read", self.read) if self._random.random() < READ_SHARE else ("write", self.write)


async def closed_loop(load: Load, seconds: float, in_flight: int) -> float:
    """Return how many requests a second the cluster answers when `in_flight` callers never pause."""
    done = 0
    end = time.monotonic() + seconds

    async def caller() -> None:
        nonlocal done
        while time.monotonic() < end:
            _, request = load.pick()
            await request()
            done += 1

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return done / seconds


async def open_loop(load: Load, rate: float, journal: Journal, stop: asyncio.Event) -> None:
    """Send `rate` requests a second until `stop`, and write each one's fate to the journal."""
    running: set[asyncio.Task[None]] = set()
    started = time.time()
    sent = 0

    async def one(due: float) -> None:
        kind, request = load.pick()
        error = ""
        try:
            await request()
        except QuiesceError as failure:
            error = f"{type(failure).__name__}: {failure}"
        journal.request(Request(kind, due, time.time() - due, error))

    while not stop.is_set():
        while (due := started + sent / rate) <= time.time():
            task = asyncio.create_task(one(due))
            running.add(task)
            task.add_done_callback(running.discard)
            sent += 1
        for acknowledged in load.acknowledged:
            journal.acknowledged(acknowledged)
        load.acknowledged.clear()
        await asyncio.sleep(max(0.0, started + sent / rate - time.time()))
    await asyncio.gather(*running)
    for acknowledged in load.acknowledged:
        journal.acknowledged(acknowledged)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.5, help="of what the cluster can do")
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncClient(options.cluster.split(",")) as client:
        places: dict[str, list[RID]] = {"City": [], "Country": []}
        for name, rids in places.items():
            async for answer in client.scan(options.database, class_name=name):
                rids += [RID(record.cluster, record.position) for record in answer.records]
        load = Load(client, options.database, places["City"], places["Country"], options.seed)
        capacity = await closed_loop(load, seconds=4, in_flight=32)
        rate = capacity * options.share
        with Journal(options.journal) as journal:
            for acknowledged in load.acknowledged:
                journal.acknowledged(acknowledged)
            load.acknowledged.clear()
            print(msgspec.json.encode({"capacity": capacity, "rate": rate}).decode(), flush=True)
            await open_loop(load, rate, journal, stop)


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
