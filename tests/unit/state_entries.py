"""What the tests of the store and of the replicated state share: entries of a log, and a state's content."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodes.statemachine import ReplicatedState
from nodes.store import keys
from nodes.store.engine import FAMILIES
from nodes.store.store import Store
from quiesce.v1 import database_pb2 as db
from quiesce.v1 import node_pb2, peer_pb2, record_pb2

DOCUMENT = record_pb2.RECORD_KIND_DOCUMENT
BLOB = record_pb2.RECORD_KIND_BLOB


@dataclass(frozen=True)
class Entry:
    index: int
    term: int
    data: bytes


def entry(index: int, *commands: peer_pb2.Command, term: int = 1) -> Entry:
    return Entry(index, term, peer_pb2.LogEntry(commands=commands).SerializeToString() if commands else b"")


def command(time_ms: int = 0, **kind: Any) -> peer_pb2.Command:
    return peer_pb2.Command(time_ms=time_ms, **kind)


def body(class_name: str | None = None, **fields: Any) -> bytes:
    document = fields if class_name is None else {"@class": class_name, **fields}
    return json.dumps(document, ensure_ascii=False).encode()


def create(class_name: str, **fields: Any) -> record_pb2.Operation:
    return record_pb2.Operation(
        create=record_pb2.Create(class_name=class_name, kind=DOCUMENT, body=body(class_name, **fields))
    )


def create_in(cluster: int, raw: bytes, kind: Any = DOCUMENT, **place: Any) -> record_pb2.Operation:
    return record_pb2.Operation(create=record_pb2.Create(cluster=cluster, kind=kind, body=raw, **place))


def fill(cluster: int, *records: tuple[int, int, bytes], kind: Any = DOCUMENT) -> record_pb2.Operation:
    """Records of an import: position, version, body."""
    positions, versions, bodies = zip(*records, strict=True) if records else ((), (), ())
    return record_pb2.Operation(
        fill=record_pb2.Fill(cluster=cluster, kind=kind, positions=positions, versions=versions, bodies=bodies)
    )


def update(cluster: int, position: int, raw: bytes, version: int | None = None) -> record_pb2.Operation:
    return record_pb2.Operation(
        update=record_pb2.Update(cluster=cluster, position=position, body=raw, expected_version=version)
    )


def delete(cluster: int, position: int, version: int | None = None) -> record_pb2.Operation:
    return record_pb2.Operation(delete=record_pb2.Delete(cluster=cluster, position=position, expected_version=version))


def write(*operations: record_pb2.Operation, database: str = "people", time_ms: int = 0, **session: int) -> Any:
    request = record_pb2.WriteRequest(database=database, operations=operations, **session)
    return command(time_ms, write=request)


def alter(*changes: db.SchemaChange, database: str = "people") -> peer_pb2.Command:
    return command(alter_schema=db.AlterSchemaRequest(database=database, changes=changes))


def new_database(name: str = "people", *, importing: bool = False) -> peer_pb2.Command:
    return command(create_database=db.CreateDatabaseRequest(name=name, importing=importing))


def new_class(name: str, **fields: Any) -> db.SchemaChange:
    return db.SchemaChange(create_class=db.ClassDefinition(name=name, **fields))


def new_index(class_name: str, *names: str, kind: str = "UNIQUE", **fields: Any) -> db.SchemaChange:
    parts = [db.IndexField(name=name, key_type="STRING") for name in names]
    name = f"{class_name}.{'_'.join(names)}"
    fields.setdefault("fields", parts)
    return db.SchemaChange(create_index=db.IndexDefinition(name=name, type=kind, class_name=class_name, **fields))


def drain(node_id: int, ttl_ms: int = 60_000, time_ms: int = 0) -> peer_pb2.Command:
    return command(time_ms, drain=node_pb2.DrainRequest(node_id=node_id, owner="o", reason="r", ttl_ms=ttl_ms))


def renew(
    epoch: int, ttl_ms: int, time_ms: int = 0, fence: int = 0, take_over_as: str = "", move_to: int = 0
) -> peer_pb2.Command:
    request = node_pb2.RenewDrainRequest(
        epoch=epoch, ttl_ms=ttl_ms, fence=fence, take_over_as=take_over_as, move_to=move_to
    )
    return command(time_ms, renew_drain=request)


def mark(epoch: int, fence: int = 0, *, attest: bool = False) -> peer_pb2.Command:
    return command(checkpoint=node_pb2.CheckpointRequest(epoch=epoch, fence=fence, attest=attest))


def undrain(epoch: int, fence: int = 0) -> peer_pb2.Command:
    return command(undrain=node_pb2.UndrainRequest(epoch=epoch, fence=fence))


def adopt(*node_ids: int) -> peer_pb2.Command:
    nodes = [peer_pb2.Membership.Node(node_id=node, address=f"n:{node}") for node in node_ids]
    return command(adopt_membership=peer_pb2.Membership(nodes=nodes))


def change(**kind: Any) -> peer_pb2.Command:
    """One of add=(id, address), promote=id, remove=id."""
    if "add" in kind:
        kind["add"] = peer_pb2.Membership.Node(node_id=kind["add"][0], address=kind["add"][1])
    return command(change_membership=peer_pb2.MembershipChange(**kind))


def readdress(addresses: dict[int, str]) -> peer_pb2.Command:
    nodes = [peer_pb2.Membership.Node(node_id=node, address=address) for node, address in addresses.items()]
    return command(change_addresses=peer_pb2.Membership(nodes=nodes))


def tick(time_ms: int) -> peer_pb2.Command:
    return command(time_ms, advance_clock=peer_pb2.AdvanceClock())


class Replica:
    """A replicated state, and a log that grows by itself."""

    def __init__(self, directory: Path, node_id: int = 1) -> None:
        self.directory = directory
        self.node_id = node_id
        self.state = ReplicatedState(directory, node_id)
        self.log: list[Entry] = []

    def __call__(self, *commands: peer_pb2.Command) -> list[peer_pb2.Outcome]:
        """Apply one entry; return the outcomes of its commands."""
        index = self.state.applied[0] + 1
        self.log.append(entry(index, *commands))
        return [outcome for _, outcome in self.state.apply(self.log[-1:])]

    def ok(self, *commands: peer_pb2.Command) -> list[peer_pb2.Outcome]:
        outcomes = self(*commands)
        assert not [outcome for outcome in outcomes if outcome.HasField("failure")]
        return outcomes

    def write(self, *operations: record_pb2.Operation, **fields: Any) -> peer_pb2.Outcome:
        return self(write(*operations, **fields))[0]

    def refused(self, *commands: peer_pb2.Command) -> tuple[str, dict[str, str]]:
        """Apply one entry whose last command must fail; nothing but the clock and the log may change."""
        before = content(self.state.store)
        outcome = self(*commands)[-1]
        assert outcome.HasField("failure"), outcome
        assert content(self.state.store) == before
        return outcome.failure.reason, dict(outcome.failure.fields)

    def bodies(self, cluster: int, database: str = "people") -> list[bytes]:
        with self.state.store.view() as view:
            return [record.body for batch in view.scan_cluster(database, cluster) for record in batch]

    def index(self, name: str, database: str = "people") -> list[tuple[bytes, int, int]]:
        with self.state.store.view() as view:
            entries = [entry for batch in view.scan_index(database, name, 2) for entry in batch]
        return [(entry.key, entry.id.cluster, entry.id.position) for entry in entries]

    def reopen(self) -> None:
        self.state.close()
        self.state = ReplicatedState(self.directory, self.node_id)


def content(store: Store, *, progress: bool = False) -> dict[str, list[tuple[bytes, bytes]]]:
    """Return all that a store holds; without how far it is, unless `progress`."""
    leave_out = () if progress else (keys.APPLIED, keys.CLOCK)
    return {
        family: [row for row in store.engine.scan(family, b"", keys.after(b"")) if row[0] not in leave_out]
        for family in FAMILIES
    }


def texts(bodies: Iterable[bytes], field: str) -> list[Any]:
    return [json.loads(raw).get(field) for raw in bodies]
