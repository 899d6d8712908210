"""P10: no link is on another record after an import, shown by the names at both ends and not by ids.

OrientDB's own import leaves thousands of the links in these files on wrong records.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cli import quiesce
from tests.scenarios.cluster import Cluster

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RID = re.compile(r"#-?\d+:-?\d+")

Records = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def of_file(path: Path) -> Records:
    """Documents by id, from a file that is JSON but for its double commas."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return {one["@rid"]: one for one in json.loads(text.replace("},,{", "},{"))["records"] if "@class" in one}


def of_database(cluster: Cluster, name: str) -> Records:
    with cluster.client() as client:
        records = [one for message in client.scan(name, whole=True) for one in message.records]
    documents = {f"#{one.cluster}:{one.position}": json.loads(one.body) for one in records}
    return {rid: one for rid, one in documents.items() if "@class" in one}


def name(records: Records, rid: str) -> str:
    """What a record is called, without its id; an edge by what it leads from and to."""
    record = records[rid]
    own = f"{record['@class']} {record.get('name')} {record.get('id')}"
    if "out" not in record:
        return own
    return f"{own} from {name(records, record['out'])} to {name(records, record['in'])}"


def links(records: Records) -> Counter[tuple[str, str, str]]:
    """Every link: what it is in, where in it, and what it leads to."""
    found: Counter[tuple[str, str, str]] = Counter()

    def inside(source: str, path: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if not key.startswith("@"):
                    inside(source, f"{path}.{key}", item)
        elif isinstance(value, list):
            for item in value:
                inside(source, f"{path}[]", item)
        elif isinstance(value, str) and RID.fullmatch(value):
            found[source, path, name(records, value)] += 1

    for rid, record in records.items():
        inside(name(records, rid), "", record)
    return found


def assert_same_ends(cluster: Cluster, path: Path, *, at_least: int) -> None:
    answer = quiesce("import", str(path), "--database", "linked", "--cluster", cluster.addresses, timeout_s=120)
    assert answer.code == 0, answer.error
    try:
        expected, found = links(of_file(path)), links(of_database(cluster, "linked"))
    finally:
        with cluster.client() as client:
            client.drop_database("linked")
    assert found - expected == Counter()
    assert expected - found == Counter()
    assert found.total() >= at_least


def test_links_of_every_kind(cluster: Cluster) -> None:
    assert_same_ends(cluster, EXAMPLES / "link-swap-all-kinds.json", at_least=13)


def test_ten_thousand_edges(cluster: Cluster, shared: Path) -> None:
    path = shared / "orientdb-exports" / "arcadedb-small-3.1.13.json.gz"
    records = of_file(path)
    vertices = [name(records, rid) for rid, one in records.items() if one["@class"] == "Person"]
    # Else two ends could be another, and their names the same.
    assert len(vertices) == len(set(vertices)) == 500
    # Each edge has two ends and is in the bags of two vertices.
    assert_same_ends(cluster, path, at_least=40_000)
