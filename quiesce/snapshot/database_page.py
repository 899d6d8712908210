"""The database page: name, clusters, classes, indexes and preserved sections of one database, in canonical JSON.

Format: docs/formats/snapshot.md, "Database page".
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf import json_format

from quiesce.snapshot.malformed import MalformedObject
from quiesce.v1.database_pb2 import Database, DatabaseState

_FORMAT = "quiesce-database/1"
# A page that is longer, because much was preserved of an import, is cut into several segments.
_SEGMENT_BYTES = 4 << 20


def encode_database_page(database: Database) -> bytes:
    """Return the page of a database.

    What a cluster numbers or counts on its own account is left out: the id, the time of the last change, record
    counts. Of the state only IMPORTING is said, so that a half-imported database is not restored as a whole one.
    """
    kept = Database()
    kept.CopyFrom(database)
    kept.ClearField("id")
    kept.ClearField("changed_at")
    if kept.state != DatabaseState.DATABASE_STATE_IMPORTING:
        kept.ClearField("state")
    for cluster in kept.clusters:
        cluster.ClearField("records")
    document = json_format.MessageToDict(kept, preserving_proto_field_name=True)
    document["format"] = _FORMAT
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def database_segments(database: Database) -> list[tuple[bytes, int]]:
    """Return the page of a database in segments, each with the number of records in it: none."""
    page = encode_database_page(database)
    return [(page[start : start + _SEGMENT_BYTES], 0) for start in range(0, len(page), _SEGMENT_BYTES)]


def decode_database_page(raw: bytes) -> Database:
    """Return the database that a page describes, ONLINE unless the page says otherwise; its id is 0.

    Raises:
        MalformedObject: it is not a database page of a version that is known here.
    """
    try:
        document: dict[str, Any] = json.loads(raw)
        found = document.pop("format")
        if found != _FORMAT:
            raise MalformedObject(f"a database page has format {found!r}, not {_FORMAT!r}")
        database = json_format.ParseDict(document, Database())
    except (json_format.ParseError, ValueError, KeyError, AttributeError, TypeError) as error:
        if isinstance(error, MalformedObject):
            raise
        raise MalformedObject(f"a database page cannot be read: {type(error).__name__}: {error}") from error
    if database.state == DatabaseState.DATABASE_STATE_UNSPECIFIED:
        database.state = DatabaseState.DATABASE_STATE_ONLINE
    return database
