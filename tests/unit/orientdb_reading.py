"""Reading an export with the product's reader, and comparing with the reference reader."""

from __future__ import annotations

import json
from pathlib import Path

from orientdb_reference_reader import Reader, body_of, read

from quiesce.orientdb.reader import ExportReader, Section
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.v1.record_pb2 import RecordKind

BLOB = RecordKind.RECORD_KIND_BLOB


def parts(path: Path, chunk_bytes: int = 1 << 20) -> tuple[dict[str, bytes], list[ExportedRecord]]:
    sections, records = {}, []
    with ExportReader(path, chunk_bytes=chunk_bytes, batch_records=7) as reader:
        for part in reader:
            if isinstance(part, Section):
                sections[part.name] = part.text
            else:
                records += part
        assert reader.progress == 1
    return sections, records


def assert_same_as_reference(path: Path, text: str, chunk_bytes: int = 1 << 20) -> None:
    sections, records = parts(path, chunk_bytes)
    expected_sections, expected = read(text)
    assert sections.keys() == expected_sections.keys()
    for name, content in sections.items():
        if name != "brokenRids":
            assert Reader(content.decode()).value() == expected_sections[name]
    assert [[one.cluster, one.position] for one in records] == [
        [int(part) for part in str(one["@rid"]).strip("#").split(":")] for one in expected
    ]
    for ours, theirs in zip(records, expected, strict=True):
        version = theirs.get("@version")
        assert ours.version == (int(version.text) if version else 1)  # type: ignore[attr-defined]
        found = ours.body if ours.kind == BLOB else Reader(ours.body.decode()).value()
        assert found == body_of(theirs)
        if ours.kind != BLOB:
            assert ours.body.startswith(b'{"@class"') or "@class" not in theirs
            assert not {"@type", "@rid", "@version"} & json.loads(ours.body).keys()
