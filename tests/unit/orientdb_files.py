"""Small exports for tests of the import."""

from __future__ import annotations

from pathlib import Path

import msgspec

CLUSTERS = '"clusters":[{"name":"internal","id":0},{"name":"a","id":14},{"name":"b","id":15}]'
SCHEMA = (
    '"schema":{"version":1,"blob-clusters":[],"classes":[{"name":"B","default-cluster-id":15,"cluster-ids":[15],'
    '"super-classes":["A"]},{"name":"A","default-cluster-id":14,"cluster-ids":[14],"properties":[{"name":"code",'
    '"type":"STRING"},{"name":"next","type":"LINK"}]}]}'
)
INDEXES = (
    '"indexes":[{"name":"A.code","type":"UNIQUE","algorithm":"CELL_BTREE","clustersToIndex":["b","a"],"definition":{'
    '"defClass":"com.orientechnologies.orient.core.index.OPropertyIndexDefinition","stream":{"@type":"d","@version":0,'
    '"className":"A","field":"code","keyType":"STRING","collate":"default","nullValuesIgnored":false}}}]'
)


def record(cluster: int, position: int, **fields: object) -> str:
    text = msgspec.json.encode({"@type": "d", "@rid": f"#{cluster}:{position}", "@version": 3, "@class": "A", **fields})
    return text.decode()


def write(path: Path, *records: str, sections: tuple[str, ...] = (CLUSTERS, SCHEMA, INDEXES)) -> Path:
    engine = '{"@type":"d","@rid":"#0:1","@version":1}'
    path.write_text("{" + ",".join([*sections, '"records":[' + ",,".join([engine, *records]) + "]"]) + "}")
    return path
