"""A database as Quiesce makes one: no users, `v` and `e` where old engines keep theirs, links of every kind."""

from __future__ import annotations

from orientdb_cluster_in_memory import ClusterInMemory, Stored

from quiesce.records import RID, Document, LinkBag, encode_document
from quiesce.v1.database_pb2 import ClassDefinition, Cluster, IndexDefinition, IndexField, PropertyDefinition
from quiesce.v1.record_pb2 import Record, RecordKind

NAMES = ("internal", "index", "manindex", "default", "v", "e", "animal", "dog", "city", "notes")
V, DOG, CITY, NOTES = 4, 7, 8, 9


def record(cluster: int, position: int, document: Document) -> Record:
    body = encode_document(document)
    return Record(
        cluster=cluster, position=position, version=position + 1, kind=RecordKind.RECORD_KIND_DOCUMENT, body=body
    )


def own_database(cluster: ClusterInMemory, name: str = "own") -> Stored:
    """Add it to a cluster; Dog extends Animal, and links to City."""
    every_link = Document(
        {
            "@class": "V",
            "one": RID(V, 1),
            "many": [RID(V, 0), RID(DOG, 1)],
            "unordered": {RID(V, 0)},
            "bag": LinkBag([RID(V, 0), RID(V, 0)]),
            "by": {"x": RID(V, 0)},
            "inside": Document(deep=[RID(V, 1), 5, "#4:1"], text="#4:1"),
            "nested": [{"k": RID(V, 1), "n": 1}],
            "declared": "#4:1",
            "text": "#4:1 is no link",
        }
    )
    records = [
        record(V, 0, every_link),
        record(V, 1, Document({"@class": "V", "name": "two"})),
        record(DOG, 1, Document({"@class": "Dog", "name": "Rex", "home": RID(CITY, 2)})),
        record(CITY, 2, Document({"@class": "City", "name": "Rome"})),
        record(NOTES, 0, Document(text="no class")),
    ]
    stored = cluster.add(name, records, [Cluster(id=at, name=one) for at, one in enumerate(NAMES)])
    home = PropertyDefinition(name="home", type="LINK", linked_class="City")
    text = PropertyDefinition(name="name", type="STRING")
    stored.definition.classes.extend(
        [
            ClassDefinition(name="V", cluster_ids=[4], default_cluster_id=4),
            ClassDefinition(name="E", cluster_ids=[5], default_cluster_id=5),
            ClassDefinition(name="Animal", cluster_ids=[6], default_cluster_id=6, properties=[text]),
            ClassDefinition(
                name="Dog", super_classes=["Animal"], cluster_ids=[7], default_cluster_id=7, properties=[home]
            ),
            ClassDefinition(name="City", cluster_ids=[8], default_cluster_id=8),
        ]
    )
    for number, class_name in enumerate(("Animal", "V"), 1):
        field = IndexField(name="name", key_type="STRING", by=IndexField.BY_VALUE, collate="default")
        stored.definition.indexes.append(
            IndexDefinition(
                id=number, name=f"{class_name}.name", type="NOTUNIQUE", class_name=class_name, maintained=True,
                fields=[field], algorithm="CELL_BTREE",
            )
        )  # fmt: skip
    return stored
