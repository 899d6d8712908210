"""OrientDB's class `___exportImportRIDMap`: which record of the file became which one."""

from __future__ import annotations

from collections.abc import Iterator

from quiesce.orientdb.record_text import ExportedRecord
from quiesce.orientdb.rid_map import RidMap
from quiesce.orientdb.survey import Survey
from quiesce.v1.database_pb2 import ClassDefinition, IndexDefinition, IndexField, PropertyDefinition
from quiesce.v1.record_pb2 import RecordKind

CLASS = "___exportImportRIDMap"
CLUSTER = "___exportimportridmap"
INDEX = "___exportImportRIDMapIndex"


def mapping_class(cluster: int) -> ClassDefinition:
    """Return the class, as engines from 3.2.30 on define it."""
    return ClassDefinition(
        name=CLASS,
        cluster_ids=[cluster],
        default_cluster_id=cluster,
        properties=[PropertyDefinition(name="key", type="STRING"), PropertyDefinition(name="value", type="LINK")],
    )


def mapping_index() -> IndexDefinition:
    """Return the index that finds an old id."""
    field = IndexField(name="key", key_type="STRING", collate="default", by=IndexField.BY_VALUE)
    return IndexDefinition(name=INDEX, type="DICTIONARY", class_name=CLASS, fields=[field], maintained=True)


def mapping_records(found: Survey, moved: RidMap, cluster: int) -> Iterator[ExportedRecord]:
    """Yield a record for each record of the file whose id changes."""
    position = 0
    for old, new in moved.changed():
        if not found.resolves(old):
            continue
        text = '{{"@class":"{}","key":"#{}:{}","value":"#{}:{}","@fieldTypes":"value=x"}}'.format(CLASS, *old, *new)
        yield ExportedRecord(cluster, position, 1, RecordKind.RECORD_KIND_DOCUMENT, text.encode("ascii"), byte=0)
        position += 1
