"""What a snapshot of a stopped node would hold: the same content id as a snapshot has, and the links that dangle."""

from __future__ import annotations

from pathlib import Path

from nodes.check.extent import extent_of
from nodes.restore.proof import content_id_of
from nodes.store import CheckpointReader, Store, StoreLoader
from quiesce.orientdb.links import property_types, super_classes_first
from quiesce.v1.database_pb2 import ClassDefinition, Cluster, Database
from quiesce.v1.record_pb2 import RecordKind

DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT
BLOB = RecordKind.RECORD_KIND_BLOB


def loaded(path: Path, bodies: list[bytes]) -> Path:
    """A store with one database of one cluster, in which these are."""
    loader = StoreLoader(path)
    database = Database(
        id=3,
        name="people",
        clusters=[Cluster(id=7, name="person")],
        classes=[ClassDefinition(name="Person", cluster_ids=[7], default_cluster_id=7)],
    )
    database_id = loader.add_database(database)
    rows = [(position, 1, DOCUMENT, body) for position, body in enumerate(bodies)]
    rows.append((len(bodies), 1, BLOB, b'"#900:1"'))
    loader.load_records(database_id, 7, rows)
    loader.finish(5, 1, lambda _count: None)
    return path


def person(friend: str, kind: str = "x") -> bytes:
    types = f',"@fieldTypes":"friend={kind}"' if kind else ""
    return f'{{"@class":"Person","friend":"{friend}"{types}}}'.encode()


def test_links_that_lead_nowhere_are_counted_and_texts_that_look_like_links_are_not(tmp_path: Path) -> None:
    bodies = [person("#7:1"), person("#7:99"), person("#-1:-1"), person("#40000:1"), person("#7:98", kind="")]
    store = Store(loaded(tmp_path / "store", bodies))
    try:
        store.checkpoint(tmp_path / "checkpoint")
    finally:
        store.close()
    extent = extent_of(tmp_path / "checkpoint", lambda _done: None)
    [people] = extent.databases
    assert (people.name, people.records, people.links, people.dangling_links) == ("people", 6, 1, 3)
    with CheckpointReader(tmp_path / "checkpoint") as reader:
        assert extent.content_id == content_id_of(reader)


def test_another_body_is_another_content(tmp_path: Path) -> None:
    ids = set()
    for number, friend in enumerate(("#7:0", "#7:1")):
        store = Store(loaded(tmp_path / f"store-{number}", [person(friend)]))
        try:
            store.checkpoint(tmp_path / f"checkpoint-{number}")
        finally:
            store.close()
        ids.add(extent_of(tmp_path / f"checkpoint-{number}", lambda _done: None).content_id)
    assert len(ids) == 2


def test_superclasses_come_first_whatever_the_order() -> None:
    classes = [
        ClassDefinition(name="C", super_classes=["B"]),
        ClassDefinition(name="A", super_classes=["Missing"]),
        ClassDefinition(name="B", super_classes=["A"]),
    ]
    assert [one.name for one in super_classes_first(classes)] == ["A", "B", "C"]
    classes[1].properties.add(name="friend", type="LINK")
    assert property_types(classes)["C"] == {"friend": "LINK"}
