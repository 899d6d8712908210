"""Clients that transfer between accounts, and auditors that look at a whole bank at once."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Sequence
from random import Random
from typing import Any

from quiesce import AsyncClient
from quiesce.errors import QuiesceError, StaleVersion
from quiesce.records import Record, create, update
from quiesce.v1.record_pb2 import ScanResponse
from tests.nemesis.history import Operation
from tests.nemesis.outcomes import Failed, Unknown, by_client, by_hand
from tests.nemesis.raw import LINEARIZABLE, STALE
from tests.nemesis.ways import Way, open_way
from tests.nemesis.workloads.bank import Bank, Transfer
from tests.nemesis.world import Contents, World

_CLIENTS = {"session": 2, "hand": 1, "twice": 1}
# Then another bank is opened: an audit reads all of one.
_MOST_TRANSFERS = 400
_PAUSE_S, _AUDIT_S = 0.02, 0.3


class Transfers:
    """The banks and their clients."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._opened = 0
        self._banks: list[Bank] = []

    async def prepare(self, client: AsyncClient) -> None:
        await self._open(client)

    def clients(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield self._open_more()
        yield self._audit_any("audit-any")
        yield self._audit_by_client("audit-client")
        for way, count in _CLIENTS.items():
            for number in range(count):
                yield self._work(way, f"transfers-{way}-{number}")

    def judge(self, contents: Contents) -> None:
        for bank in self._banks:
            bank.check("the end", contents[bank.database].values(), 1 << 62)

    def histories(self) -> dict[str, list[Operation]]:
        return {}

    async def _open(self, client: AsyncClient) -> None:
        self._opened += 1
        bank = Bank(f"bank-{self._opened}", self._world.recorder)
        await bank.open(client)
        self._banks.append(bank)

    async def _open_more(self) -> None:
        async with self._world.client("banker") as client:
            async for _ in self._world.turns(self._world.random("banker"), 0.2):
                if len(self._banks[-1].transfers) >= _MOST_TRANSFERS:
                    try:
                        await self._open(client)
                    except QuiesceError:
                        # Half of it may be there: another name next time.
                        continue

    async def _work(self, kind: str, name: str) -> None:
        rng, recorder = self._world.random(name), self._world.recorder
        async with open_way(kind, name, self._world) as way:
            async for _ in self._world.turns(rng, _PAUSE_S):
                bank = self._banks[-1]
                floor = recorder.floor
                try:
                    outcome, index = await _transfer(bank, way, rng)
                except QuiesceError as error:
                    recorder.violate(f"{name}: nobody expects {type(error).__name__}: {error.message()}")
                    continue
                recorder.count("transfer", outcome, changed=index > 0)
                if index:
                    recorder.saw(f"{name}: a transfer", floor, index, write=True)

    async def _audit_any(self, name: str) -> None:
        """Scan at any node, now and then what it has, else what is committed."""
        rng, recorder = self._world.random(name), self._world.recorder
        async with self._world.raw(name) as raw:
            async for _ in self._world.turns(rng, _AUDIT_S):
                bank, node = rng.choice(self._banks[-2:]), raw.any_node()
                consistency = rng.choice([LINEARIZABLE, STALE])
                floor = recorder.floor if consistency == LINEARIZABLE else 0
                try:
                    batches = await by_hand(raw.scan(node, bank.database, consistency))
                except (Failed, Unknown):
                    recorder.count("audit", "failed")
                    continue
                except QuiesceError as error:
                    if consistency == STALE:
                        # A node that is behind does not know the bank yet.
                        continue
                    recorder.violate(f"{name}: nobody expects {type(error).__name__}: {error.message()}")
                    continue
                self._take(bank, f"{name} at node {node}", batches, floor)

    async def _audit_by_client(self, name: str) -> None:
        rng, recorder = self._world.random(name), self._world.recorder
        async with self._world.client(name) as client:
            async for _ in self._world.turns(rng, _AUDIT_S):
                bank, floor = self._banks[-1], recorder.floor
                try:
                    batches = await by_client(_all(client, bank.database))
                except (Failed, Unknown):
                    recorder.count("audit", "failed")
                else:
                    self._take(bank, name, batches, floor)

    def _take(self, bank: Bank, who: str, batches: Sequence[ScanResponse], floor: int) -> None:
        recorder = self._world.recorder
        recorder.count("audit", "ok")
        indexes = {batch.index for batch in batches}
        if len(indexes) != 1:
            recorder.violate(f"{who}: one scan showed the indexes {sorted(indexes)}")
            return
        (index,) = indexes
        recorder.saw(f"{who}: an audit", floor, index)
        bank.check(who, [Record.of(record) for batch in batches for record in batch.records], index)


async def _all(client: AsyncClient, database: str) -> list[ScanResponse]:
    return [batch async for batch in client.scan(database, whole=True)]


async def _transfer(bank: Bank, way: Way, rng: Random) -> tuple[str, int]:
    giver, taker = rng.sample(bank.accounts, 2)
    try:
        found, _ = await way.get(bank.database, [giver, taker])
    except (Failed, Unknown):
        return "failed", 0
    amount = rng.randrange(1, 50)
    transfer = Transfer(len(bank.transfers), giver, taker, amount)
    bank.transfers[transfer.number] = transfer
    changes = [
        update(
            rid,
            {"@class": "Account", "balance": int(str(found[rid].document()["balance"])) + more},
            expected_version=found[rid].version,
        )
        for rid, more in ((giver, -amount), (taker, amount))
    ]
    try:
        answer = await way.write(bank.database, [*changes, create(transfer.document(), class_name="Transfer")])
    except StaleVersion:
        transfer.outcome = "failed"
        return "refused", 0
    except Failed:
        transfer.outcome = "failed"
        return "failed", 0
    except Unknown:
        return "unknown", 0
    transfer.outcome, transfer.index = "ok", answer.index
    return "ok", answer.index
