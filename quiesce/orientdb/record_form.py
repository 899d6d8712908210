"""Records in the form that OrientDB's importer takes."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable

import msgspec

from quiesce.orientdb.cluster_ids import ClusterIds
from quiesce.orientdb.escapes import ascii_json, quoted
from quiesce.orientdb.import_traps import avoid
from quiesce.v1.record_pb2 import Record, RecordKind

_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT
_SAME_IDS = ClusterIds({})


def format_records(
    records: Iterable[Record], flat: frozenset[str] = frozenset(), ids: ClusterIds = _SAME_IDS
) -> list[bytes]:
    """Return the text of each record.

    Args:
        records: as they are stored.
        flat: ids of those that are ORecordFlat.
        ids: the ids of clusters in the file.
    """
    texts = []
    moved = bool(ids.ids)
    for record in records:
        body = record.body
        cluster, position = record.cluster, record.position
        if record.kind == _DOCUMENT:
            if b"\n" in body or b"\r" in body or b"\t" in body or body[1:2] == b" ":
                # Not in a string, where JSON has escapes: the white space of whoever wrote it.
                body = msgspec.json.format(body, indent=-1)
            if not body.isascii() or b"\\" in body or b"\x7f" in body:
                body = ascii_json(body)
            if b"=b" in body:
                body = avoid(body)
            if moved:
                cluster, body = ids.of(cluster), ids.body(body)
            texts.append(
                b'{"@type":"d","@rid":"#%d:%d","@version":%d%b%b'
                % (cluster, position, record.version, b"," if len(body) > 2 else b"", body[1:])
            )
            continue
        if flat and f"#{cluster}:{position}" in flat:
            kind, value = b"f", quoted(body.decode()).encode("ascii")
        else:
            kind, value = b"b", b'"' + b2a_base64(body, newline=False) + b'"'
        texts.append(
            b'{"@type":"%b","@rid":"#%d:%d","@version":%d,"value":%b}'
            % (kind, ids.of(cluster), position, record.version, value)
        )
    return texts
