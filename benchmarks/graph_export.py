"""An export of a graph in the form of engine 3.2, of any size: `python -m benchmarks.graph_export FILE --records N`.

Three of ten records are vertices with a unique key, seven are edges; what they are follows from their numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import click
from isal import igzip

from benchmarks.records import _texts

VERTICES, EDGES = 14, 15
_HEAD = (
    '{"info":{"name":"graph","default-cluster-id":3,"exporter-version":13,"engine-version":"3.2.34",'
    '"storage-config-version":23,"schema-version":4,"schemaRecordId":"#0:1","indexMgrRecordId":"#0:2"},'
    '"clusters":[{"name":"internal","id":0},{"name":"v","id":10},{"name":"e","id":11},{"name":"person","id":14},'
    '{"name":"knows","id":15}],"schema":{"version":1,"blob-clusters":[],"classes":['
    '{"name":"E","default-cluster-id":11,"cluster-ids":[11]},'
    '{"name":"Knows","default-cluster-id":15,"cluster-ids":[15],"super-classes":["E"],"properties":['
    '{"name":"out","type":"LINK","collate":"default"},{"name":"in","type":"LINK","collate":"default"}]},'
    '{"name":"Person","default-cluster-id":14,"cluster-ids":[14],"super-classes":["V"],"properties":['
    '{"name":"number","type":"INTEGER","collate":"default"}]},'
    '{"name":"V","default-cluster-id":10,"cluster-ids":[10]}]},"records":['
    '{"@type":"d","@rid":"#0:1","@version":1},,{"@type":"d","@rid":"#0:2","@version":1}'
)
_TAIL = (
    '],"brokenRids":[],"indexes":[{"name":"Person.number","type":"UNIQUE","algorithm":"CELL_BTREE",'
    '"clustersToIndex":["person"],"definition":{"defClass":"com.orientechnologies.orient.core.index.'
    'OPropertyIndexDefinition","stream":{"@type":"d","@version":0,"className":"Person","field":"number",'
    '"keyType":"INTEGER","collate":"default","nullValuesIgnored":false,"@fieldTypes":""}}}]}'
)
# Prime, so that every vertex is met before one comes again.
_STEP = 7_919


def _target(edge: int, vertices: int) -> int:
    return (edge * _STEP + 1) % vertices


def texts(records: int) -> Iterator[str]:
    """Yield the text of an export with so many records, piece by piece."""
    vertices = records * 3 // 10
    while vertices % _STEP == 0:
        vertices += 1
    edges = records - vertices
    back = pow(_STEP, -1, vertices)
    words = [one.decode() for one in _texts()[:1024]]
    yield _HEAD
    for number in range(vertices):
        out = ",".join(f'"#{EDGES}:{edge}"' for edge in range(number, edges, vertices))
        into = ",".join(f'"#{EDGES}:{edge}"' for edge in range((number - 1) * back % vertices, edges, vertices))
        yield (
            f',,{{"@type":"d","@rid":"#{VERTICES}:{number}","@version":3,"@class":"Person","number":{number},'
            f'"name":"Person {number}","about":"{words[number % 1024][:80]}","out_Knows":[{out}],"in_Knows":[{into}],'
            '"@fieldTypes":"out_Knows=g,in_Knows=g"}'
        )
    for edge in range(edges):
        yield (
            f',,{{"@type":"d","@rid":"#{EDGES}:{edge}","@version":1,"@class":"Knows","@fieldTypes":"out=x,in=x",'
            f'"out":"#{VERTICES}:{edge % vertices}","in":"#{VERTICES}:{_target(edge, vertices)}",'
            f'"since":{1900 + edge % 120},"@fieldTypes":"out=x,in=x"}}'
        )
    yield _TAIL


def _opened(path: Path) -> IO[bytes]:
    if path.suffix != ".gz":
        return path.open("wb")
    return cast("IO[bytes]", igzip.IGzipFile(path, "wb", compresslevel=1))  # type: ignore[no-untyped-call]


def write(path: Path, records: int) -> None:
    """Write an export, gzip where its name says so."""
    with _opened(path) as file:
        pending: list[str] = []
        for text in texts(records):
            pending.append(text)
            if len(pending) == 5_000:
                file.write("".join(pending).encode("ascii"))
                pending.clear()
        file.write("".join(pending).encode("ascii"))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--records", type=click.IntRange(10), default=1_000_000, show_default=True)
def main(file: Path, records: int) -> None:
    """Write an export of a graph to FILE, gzip where its name ends so."""
    write(file, records)


if __name__ == "__main__":
    main()
