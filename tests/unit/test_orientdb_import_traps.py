"""quiesce.orientdb.import_traps and record_form: every document survives the way out and in, and none is a trap."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from record_strategies import documents, typed

from quiesce._native import cut_records
from quiesce.orientdb.import_traps import avoid, restore
from quiesce.orientdb.oddities import Oddities
from quiesce.orientdb.record_form import format_record
from quiesce.orientdb.record_text import parse_record
from quiesce.records import Byte, Document, decode_document, encode_document
from quiesce.v1.record_pb2 import Record, RecordKind

DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT


def there_and_back(body: bytes) -> bytes:
    record = Record(cluster=14, position=3, version=7, kind=DOCUMENT, body=body)
    text = format_record(record)
    back = parse_record(text, 0, Oddities())
    assert back[:4] == (14, 3, 7, DOCUMENT)
    # The fast way takes it alike, or leaves it to the slow one.
    rows, *_ = cut_records(text + b"]", 0, 0, True, 1, DOCUMENT)
    assert rows in ([], [tuple(back)])
    return back.body


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(deadline=None)
@given(documents)
@example(Document(a=b"", b=Byte(-128), c=Document(d=b"", e=[b"", Byte(-128)])))
def test_any_document_survives(document: Document) -> None:
    body = encode_document(document)
    back = there_and_back(body)
    assert typed(decode_document(back)) == typed(document)
    # What is written again is what was exported, so a second way changes nothing either.
    assert encode_document(decode_document(back)) == body
    assert there_and_back(back) == back


@pytest.mark.parametrize(
    ("body", "written"),
    [
        ('{"a":-128,"@fieldTypes":"a=b"}', '{"a":-128,"@fieldTypes":"a==b"}'),
        ('{"a":-100,"@fieldTypes":"a=b"}', '{"a":-100,"@fieldTypes":"a==b"}'),
        ('{"a":"","x":1,"@fieldTypes":"a=b,x=l"}', '{"a":null,"x":1,"@fieldTypes":"a==b,x=l"}'),
        (
            '{"e":{"@type":"d","@version":0,"a":"","@fieldTypes":"a=b"}}',
            '{"e":{"@type":"d","@version":0,"a":null,"@fieldTypes":"a==b"}}',
        ),
        # None of these stops an engine.
        ('{"a":-12,"b":"AQ==","c":"","@fieldTypes":"a=b,b=b"}', '{"a":-12,"b":"AQ==","c":"","@fieldTypes":"a=b,b=b"}'),
        ('{"a":-99,"@fieldTypes":"a=b"}', '{"a":-99,"@fieldTypes":"a=b"}'),
        ('{"a":-128,"b":"=b"}', '{"a":-128,"b":"=b"}'),
    ],
)
def test_values_at_which_importers_end(body: str, written: str) -> None:
    assert avoid(body.encode()).decode() == written
    assert restore(written.encode()).decode() == body


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{\n\t"a": "\\u00e9 \\n",\r\n "b": [1, 2]\n}', {"a": "é \n", "b": [1, 2]}),
        (b"{ }", {}),
        ('{ "a": "é\x7f" }'.encode(), {"a": "é\x7f"}),
    ],
)
def test_white_space_of_whoever_wrote_it(body: bytes, fields: dict[str, Any]) -> None:
    text = format_record(Record(cluster=1, position=2, version=3, kind=DOCUMENT, body=body))
    assert json.loads(text) == {"@type": "d", "@rid": "#1:2", "@version": 3, **fields}
    assert b"\n" not in text
