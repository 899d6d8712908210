"""Records in the form that OrientDB's importer takes."""

from __future__ import annotations

from binascii import b2a_base64

import msgspec

from quiesce.orientdb.cluster_ids import ClusterIds
from quiesce.orientdb.escapes import ascii_json, quoted
from quiesce.orientdb.import_traps import avoid
from quiesce.v1.record_pb2 import Record, RecordKind

_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT
_SAME_IDS = ClusterIds({})


def format_record(record: Record, flat: frozenset[str] = frozenset(), ids: ClusterIds = _SAME_IDS) -> bytes:
    """Return the text of a record. Plain documents go a quicker way, native/src/export/texts.rs, to the same text.

    Args:
        record: as it is stored.
        flat: ids of records that are ORecordFlat.
        ids: the ids of clusters in the file.
    """
    body = record.body
    cluster, position = record.cluster, record.position
    if record.kind == _DOCUMENT:
        if b"\n" in body or b"\r" in body or b"\t" in body or body[1:2] == b" ":
            # Not in a string, where JSON has escapes: the white space of whoever wrote it.
            body = msgspec.json.format(body, indent=-1)
        body = ids.body(avoid(ascii_json(body)))
        comma = b"," if len(body) > 2 else b""
        return b'{"@type":"d","@rid":"#%d:%d","@version":%d%b%b' % (
            ids.of(cluster), position, record.version, comma, body[1:],
        )  # fmt: skip
    if flat and f"#{cluster}:{position}" in flat:
        kind, value = b"f", quoted(body.decode()).encode("ascii")
    else:
        kind, value = b"b", b'"' + b2a_base64(body, newline=False) + b'"'
    return b'{"@type":"%b","@rid":"#%d:%d","@version":%d,"value":%b}' % (
        kind, ids.of(cluster), position, record.version, value,
    )  # fmt: skip
