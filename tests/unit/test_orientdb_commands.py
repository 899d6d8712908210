"""quiesce.cli.commands.import_ and export: the lines that OrientDB's users know."""

from __future__ import annotations

import io
import json
from contextlib import ExitStack
from pathlib import Path

from orientdb_cluster_in_memory import ClusterInMemory

from quiesce.cli.commands import export, import_
from quiesce.cli.output import Output
from quiesce.orientdb import export_database, import_export

TEMPLATE = ("orientdb-exports", "templates", "orient-3.2-template.json")


async def test_lines_of_import_and_export(shared: Path, tmp_path: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(out=out, err=err)
    cluster = ClusterInMemory()
    with ExitStack() as stack:
        lines = import_._Lines(output, stack, shared.joinpath(*TEMPLATE))
        imported = await import_export(cluster, shared.joinpath(*TEMPLATE), "shop", progress=lines)
    import_._show(output, imported)
    said = err.getvalue().splitlines()
    assert "Importing records..." in said
    assert "- Imported records into the cluster 'person': 2 records" in said
    assert "13 records" in out.getvalue()

    with ExitStack() as stack:
        exported = await export_database(cluster, "shop", tmp_path / "x.gz", progress=export.Lines(output, stack))
    export._show(output, exported)
    said = err.getvalue().splitlines()
    assert "- Exporting cluster 'person' (records=2) -> OK" in said
    assert "- Exporting cluster 'default' (records=0) -> OK" in said
    assert f"in {tmp_path / 'x.gz'}" in out.getvalue()


async def test_json_for_programs(shared: Path, tmp_path: Path) -> None:
    out = io.StringIO()
    output = Output(json=True, out=out, err=out)
    cluster = ClusterInMemory()
    with ExitStack() as stack:
        path = shared.joinpath(*TEMPLATE)
        report = await import_export(cluster, path, "shop", progress=import_._Lines(output, stack, path))
    import_._show(output, report)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {line["type"] for line in lines} == {"message", "progress", "result"}
    assert {"cluster": "person", "records": 2}.items() <= next(
        one for one in lines if "cluster" in one and one["cluster"] == "person"
    ).items()
    assert lines[-1]["records"] == 13
    assert lines[-1]["dangling_listed"] == []
