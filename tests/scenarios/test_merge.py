"""A merge into a database in service: all of it comes in at once, or the database stays as it was."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiesce import Client
from quiesce.errors import DatabaseNotImporting, DuplicateKeyInExport, UnfinishedImport
from quiesce.orientdb.reader import ExportReader
from quiesce.records import create
from quiesce.records.decoding import decode_document
from quiesce.records.rid import RID
from quiesce.records.types import Document
from quiesce.v1.database_pb2 import ClassDefinition, SchemaChange
from tests.scenarios.cli import Answer, quiesce
from tests.scenarios.cluster import Cluster
from tests.scenarios.people import DATABASE, contents, make_database

ROOT = Path(__file__).resolve().parents[2]
WORLD = ROOT / "examples" / "world-3.2.34.json.gz"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def merged(cluster: Cluster, file: Path, *more: str) -> Answer:
    where = ("--database", DATABASE, "--merge", "--cluster", cluster.addresses, "--output", "json")
    return quiesce("import", str(file), *where, *more, timeout_s=300)


def documents(client: Client) -> dict[RID, Document]:
    return {rid: decode_document(body) for rid, (_, body) in contents(client).items()}


def test_a_graph_comes_into_a_database_whose_ids_are_taken(cluster: Cluster, shared: Path) -> None:
    """Edges are told by the names at both ends; OrientDB's own import moves 7,606 of these."""
    path = shared / "orientdb-exports" / "arcadedb-small-3.1.13.json.gz"
    with cluster.client() as client:
        client.create_database(DATABASE)
        # Ids of the file that the database has, too.
        others = [SchemaChange(create_class=ClassDefinition(name=f"Other{number}")) for number in range(40)]
        client.alter_schema(DATABASE, others)
        client.write(DATABASE, [create({"n": number}, class_name=f"Other{number}") for number in range(40)])
        before = contents(client)
        answer = merged(cluster, path)
        assert answer.code == 0, answer.error
        report = json.loads(answer.output.splitlines()[-1])
        assert report["moved_clusters"]
        after = contents(client)
        assert {rid: after[rid] for rid in before} == before
        in_file: dict[RID, Document] = {}
        with ExportReader(path) as reader:
            for part in reader:
                if isinstance(part, list):
                    in_file |= {RID(*one[:2]): decode_document(one.body) for one in part if one.kind == 1}
        found = documents(client)
        ours = sorted(
            (found[one["out"]]["id"], found[one["in"]]["id"], one["id"])
            for one in found.values()
            if one.class_name == "Friend"
        )
        theirs = sorted(
            (in_file[one["out"]]["id"], in_file[one["in"]]["id"], one["id"])
            for one in in_file.values()
            if one.class_name == "Friend"
        )
        assert len(ours) == 10_000
        assert ours == theirs
        # The classes that came have the indexes of the file, and writers go on.
        [[role]] = client.lookup(DATABASE, "ORole.name", [["admin"]])
        assert role.document()["name"] == "admin"

        # Once more, and all keys are taken: every record has one in a unique index.
        before = contents(client)
        answer = merged(cluster, path)
        error = json.loads(answer.error.splitlines()[-1])
        assert (answer.code, error["fields"]["count"]) == (DuplicateKeyInExport.exit_code, "10510"), answer.error
        named = [line["shared_key"] for line in map(json.loads, answer.output.splitlines()) if "shared_key" in line]
        assert len(named) == 1_000
        assert all(RID.parse(one["rid"]) in before and RID.parse(one["other"]) not in before for one in named)
        assert contents(client) == before
        client.drop_database(DATABASE)


def test_a_merge_that_is_killed_is_undone_by_one_command(cluster: Cluster) -> None:
    with cluster.client() as client:
        make_database(client, 50)
        before = contents(client)
        definition = client.database(DATABASE)
        command = [sys.executable, "-m", "quiesce", "import", str(WORLD), "--database", DATABASE, "--merge"]
        running = subprocess.Popen(
            [*command, "--cluster", cluster.addresses], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while not any(one.records for one in client.database(DATABASE).clusters if one.importing):
            assert time.monotonic() < deadline
            assert running.poll() is None
            time.sleep(0.02)
        running.kill()
        running.wait()
        # Nobody sees what is left, and nobody merges over it.
        assert contents(client) == before
        assert json.loads(merged(cluster, WORLD).error.splitlines()[-1])["reason"] == UnfinishedImport.reason()
        left = ("databases", "discard-import", DATABASE, "--cluster", cluster.addresses)
        assert quiesce(*left).code == 0
        after = client.database(DATABASE)
        assert (list(after.clusters), list(after.classes)) == (list(definition.clusters), list(definition.classes))
        assert contents(client) == before
        assert quiesce(*left).code == DatabaseNotImporting.exit_code
        client.drop_database(DATABASE)
