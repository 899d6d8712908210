"""What the clients do: registers, transfers between accounts, names that are unique, leases and marks."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from nodes.store import StoreView
from quiesce.v1 import database_pb2 as db
from quiesce.v1 import node_pb2
from quiesce.v1.peer_pb2 import Command, Outcome
from quiesce.v1.record_pb2 import Operation, RecordId, WriteRequest
from tests.simulation import schema
from tests.simulation.clients import Client
from tests.simulation.history import Rid
from tests.simulation.operators import founders
from tests.simulation.schema import BALANCE, DATABASE
from tests.simulation.violation import require

if TYPE_CHECKING:
    from tests.simulation.world import World

_EVER = 1 << 62
_COLOURS = ("red", "blue")


class Workload:
    """Makes the database, then lets the clients loose on it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._plan = world.plan
        self._rng = random.Random(f"{world.plan.seed} workload")
        self.registers: list[Rid] = []
        self.accounts: list[Rid] = []
        self.ready = False
        self.over = False
        self._written = 0
        # What clients were last told of records: version and fields.
        self._known: dict[Rid, tuple[int, dict[str, object]]] = {}
        self._epoch = 0
        self._kinds = [kind for kind, weight in world.plan.weights.items() for _ in range(weight)]
        self.clients = [
            Client(
                f"client {number}", world, random.Random(f"{world.plan.seed} client {number}"), self._plan.patience_us
            )
            for number in range(world.plan.clients)
        ]

    # --- setting up

    def begin(self) -> None:
        """Write down the members, make the database; the clients follow."""
        command = Command(adopt_membership=founders(self._world.founders))
        self.clients[0].request(command, self._adopted, again=True)

    def _adopted(self, outcome: Outcome | None) -> None:
        if outcome is None:
            self.begin()
            return
        self._make_database()

    def _make_database(self) -> None:
        command = Command(create_database=db.CreateDatabaseRequest(name=DATABASE))
        self.clients[0].request(command, self._made_database, again=True)

    def _made_database(self, outcome: Outcome | None) -> None:
        if outcome is None:
            self._make_database()
            return
        request = db.AlterSchemaRequest(database=DATABASE, changes=schema.changes())
        self.clients[0].request(Command(alter_schema=request), self._made_schema, again=True)

    def _made_schema(self, outcome: Outcome | None) -> None:
        if outcome is None:
            self._made_database(Outcome())
            return
        operations = [schema.create("Register", value=0, pad=self._pad()) for _ in range(self._plan.registers)]
        operations += [schema.create("Account", balance=BALANCE, note=0) for _ in range(self._plan.accounts)]
        self.clients[0].write(_write(operations), self._made_records)

    def _made_records(self, outcome: Outcome | None) -> None:
        if outcome is None or outcome.HasField("failure"):
            # Perhaps it was done: look first.
            self.clients[0].read(self._look_for_records, lambda: self._made_records(None), stale=False)
            return
        self._have(list(_rids(outcome)))

    def _look_for_records(self, view: StoreView) -> None:
        clusters = schema.Clusters.of(view.database(DATABASE))
        # A try that was given up for lost may have been applied as well, before this one or after it.
        found = [
            (record.cluster, record.position)
            for cluster, count in ((clusters.register, self._plan.registers), (clusters.account, self._plan.accounts))
            for record in itertools.islice(itertools.chain(*view.scan_cluster(DATABASE, cluster)), count)
        ]
        if found:
            self._have(found)
        else:
            self._made_schema(Outcome())

    def _have(self, rids: list[Rid]) -> None:
        self.registers, self.accounts = rids[: self._plan.registers], rids[self._plan.registers :]
        self.ready = True
        states = ((rid, self._world.applied.truth.at(rid, _EVER)) for rid in self.registers)
        self._world.judge.found({rid: state for rid, state in states if state is not None})
        self._world.ready()
        for client in self.clients:
            for _ in range(self._plan.pipeline):
                self._next(client)

    # --- one operation after the other

    def _next(self, client: Client) -> None:
        if not self.over:
            think = self._rng.randint(0, 2 * self._plan.think_us)
            self._world.scheduler.after(think, lambda: self._one(client))

    def _one(self, client: Client) -> None:
        if self.over:
            return
        kind = self._rng.choice(self._kinds)
        does: dict[str, Callable[[Client], None]] = {
            "update": lambda one: self._update(one, expects=False),
            "compare": lambda one: self._update(one, expects=True),
            "transfer": self._transfer,
            "create": self._create,
            "delete": self._delete,
            "swap": self._swap,
            "read": lambda one: self._read(one, stale=False),
            "stale": lambda one: self._read(one, stale=True),
            "lookup": self._lookup,
            "bare": self._bare,
            "lease": self._lease,
        }
        does[kind](client)

    def _write(self, client: Client, operations: list[Operation], *, session: bool = True) -> None:
        command, began = _write(operations), self._world.history.begin()
        judged = self._world.judge.wrote(client.name, operations[0])

        def ended(outcome: Outcome | None) -> None:
            judged(outcome)
            self._next(client)
            self._settled(operations, began, outcome)

        if session:
            client.write(command, ended)
        else:
            client.request(command, ended, again=False)

    def _settled(self, operations: list[Operation], began: tuple[int, dict[Rid, int]], outcome: Outcome | None) -> None:
        history = self._world.history
        if outcome is None:
            history.unknown += 1
        elif outcome.HasField("failure"):
            history.refusals += 1
            failure = outcome.failure
            if failure.reason == "STALE_VERSION":
                cluster, position = failure.fields["rid"][1:].split(":")
                rid = int(cluster), int(position)
                history.saw_version(began, rid, int(failure.fields["actual"]))
                self._known.pop(rid, None)
            elif failure.reason == "UNKNOWN_RECORD":
                cluster, position = failure.fields["rid"][1:].split(":")
                self._known.pop((int(cluster), int(position)), None)
        else:
            written = [((one.cluster, one.position), one.version) for one in outcome.write.written]
            made = [
                pair for pair, operation in zip(written, operations, strict=True) if not operation.HasField("delete")
            ]
            history.wrote(began, outcome.write.index, made)
            for (rid, version), operation in zip(written, operations, strict=True):
                if operation.HasField("delete"):
                    self._known.pop(rid, None)
                    continue
                text = operation.update.body or operation.create.body
                if rid not in self._known or self._known[rid][0] < version:
                    self._known[rid] = version, json.loads(text)

    # --- kinds

    def _fresh(self) -> int:
        self._written += 1
        return self._written

    def _pad(self) -> str:
        return "x" * self._rng.randint(0, self._plan.padding)

    def _update(self, client: Client, *, expects: bool) -> None:
        rid = self._rng.choice(self.registers)
        version = self._known[rid][0] if expects and rid in self._known else None
        self._write(client, [schema.update(rid, version, "Register", value=self._fresh(), pad=self._pad())])

    def _bare(self, client: Client) -> None:
        rid = self._rng.choice(self.registers)
        self._write(client, [schema.update(rid, None, "Register", value=self._fresh(), pad=self._pad())], session=False)

    def _transfer(self, client: Client) -> None:
        source, target = self._rng.sample(self.accounts, 2)
        if source not in self._known or target not in self._known:
            self._read(client, stale=False)
            return
        (version, fields), (other_version, other) = self._known[source], self._known[target]
        amount, note = self._rng.randint(1, 50), self._fresh()
        operations = [
            schema.update(source, version, "Account", balance=fields["balance"] - amount, note=note),  # type: ignore[operator]
            schema.update(target, other_version, "Account", balance=other["balance"] + amount, note=note),  # type: ignore[operator]
        ]
        self._write(client, operations)

    def _create(self, client: Client) -> None:
        name = f"n{self._rng.randrange(self._plan.names)}"
        self._write(client, [schema.create("Named", name=name, colour=self._rng.choice(_COLOURS), note=self._fresh())])

    def _named(self) -> list[Rid]:
        return [rid for rid, (_, fields) in self._known.items() if fields["@class"] == "Named"]

    def _delete(self, client: Client) -> None:
        named = self._named()
        if not named:
            self._create(client)
            return
        rid = self._rng.choice(named)
        version = self._known[rid][0] if self._rng.random() < 0.5 else None
        self._write(client, [schema.delete(rid, version)])

    def _swap(self, client: Client) -> None:
        """Two records take each other's unique name, or one takes another."""
        named = self._named()
        if len(named) < 2:
            self._create(client)
            return
        rids = self._rng.sample(named, 2)
        (version, fields), (other_version, other) = (self._known[rid] for rid in rids)
        colour, note = self._rng.choice(_COLOURS), self._fresh()
        operations = [
            schema.update(rids[0], version, "Named", name=other["name"], colour=colour, note=note),
            schema.update(rids[1], other_version, "Named", name=fields["name"], colour=colour, note=note),
        ]
        self._write(client, operations)

    def _read(self, client: Client, *, stale: bool) -> None:
        began = None if stale else self._world.history.begin()
        judged = self._world.judge.reads(client.name)
        rids = [*self.registers, *self.accounts]

        def look(view: StoreView) -> None:
            if stale and DATABASE not in {database.name for database in view.databases()}:
                # A replica that has not come so far.
                self._next(client)
                return
            ids = [RecordId(cluster=cluster, position=position) for cluster, position in rids]
            records, _ = view.get(DATABASE, ids) if not stale or self._there(view) else ([], [])
            found: dict[Rid, tuple[int, bytes] | None] = dict.fromkeys(rids)
            for record in records:
                found[record.cluster, record.position] = record.version, record.body
            self._world.history.read(began, view.applied[0], view.index, found)
            self._balance({rid: found[rid] for rid in self.accounts})
            if not stale:
                judged(found)
                self._learn(found)
            self._next(client)

        client.read(look, lambda: self._next(client), stale=stale)

    def _there(self, view: StoreView) -> bool:
        return schema.Clusters.of(view.database(DATABASE)).account >= 0

    def _balance(self, accounts: dict[Rid, tuple[int, bytes] | None]) -> None:
        there = [json.loads(state[1])["balance"] for state in accounts.values() if state is not None]
        require(not there or len(there) == len(accounts), "some accounts are there and some are not")
        require(sum(there) == BALANCE * len(there), f"a read found balances of {there}")

    def _learn(self, found: dict[Rid, tuple[int, bytes] | None]) -> None:
        for rid, state in found.items():
            if state is not None and (rid not in self._known or self._known[rid][0] < state[0]):
                self._known[rid] = state[0], json.loads(state[1])

    def _lookup(self, client: Client) -> None:
        began = self._world.history.begin()
        name = f"n{self._rng.randrange(self._plan.names)}"

        def look(view: StoreView) -> None:
            (match,) = view.lookup(DATABASE, "Named.name", [json.dumps([name]).encode()], 0)
            applied, index, truth = view.applied[0], view.index, self._world.history.truth
            found: dict[Rid, tuple[int, bytes] | None] = {
                (record.cluster, record.position): (record.version, record.body) for record in match.records
            }
            for rid in truth.rids():
                states = truth.within(rid, applied, index)
                if all(state is not None and json.loads(state[1]).get("name") == name for state in states):
                    found.setdefault(rid, None)
            self._world.history.read(began, applied, index, found)
            self._learn(found)
            self._next(client)

        client.read(look, lambda: self._next(client), stale=False)

    def _lease(self, client: Client) -> None:
        rng, ttl = self._rng, self._rng.choice((50, 1_000, 60_000))
        kind = rng.choice(("drain", "renew", "mark", "mark", "undrain")) if self._epoch else "drain"
        command = Command()
        if kind == "drain":
            command.drain.CopyFrom(
                node_pb2.DrainRequest(node_id=rng.choice(self._world.ids), owner="o", reason="r", ttl_ms=ttl)
            )
        elif kind == "renew":
            command.renew_drain.CopyFrom(node_pb2.RenewDrainRequest(epoch=self._epoch, ttl_ms=ttl))
        elif kind == "mark":
            command.checkpoint.CopyFrom(node_pb2.CheckpointRequest(epoch=self._epoch, attest=rng.random() < 0.5))
        else:
            command.undrain.CopyFrom(node_pb2.UndrainRequest(epoch=self._epoch))

        def ended(outcome: Outcome | None) -> None:
            if outcome is not None and outcome.HasField("lease"):
                self._epoch = outcome.lease.epoch
            self._next(client)

        client.request(command, ended, again=True)


def _write(operations: list[Operation]) -> Command:
    return Command(write=WriteRequest(database=DATABASE, operations=operations))


def _rids(outcome: Outcome) -> list[Rid]:
    return [(one.cluster, one.position) for one in outcome.write.written]
