"""quiesce.cli.commands.import_ and export: the lines that OrientDB's users know."""

from __future__ import annotations

import io
import json
from contextlib import ExitStack
from pathlib import Path

from orientdb_cluster_in_memory import ClusterInMemory

from quiesce.cli.commands import export
from quiesce.cli.import_text import ImportShown, show
from quiesce.cli.output import Output
from quiesce.orientdb import export_database, import_export
from quiesce.orientdb.progress_lines import Wording

TEMPLATE = ("orientdb-exports", "templates", "orient-3.2-template.json")


async def test_lines_of_import_and_export(shared: Path, tmp_path: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(out=out, err=err)
    cluster = ClusterInMemory()
    with ExitStack() as stack:
        shown = ImportShown(output, stack, shared.joinpath(*TEMPLATE), "shop")
        imported = await import_export(cluster, shared.joinpath(*TEMPLATE), "shop", progress=shown)
    show(output, imported)
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


async def test_in_the_words_of_an_engine(shared: Path) -> None:
    err = io.StringIO()
    output, cluster, path = Output(out=io.StringIO(), err=err), ClusterInMemory(), shared.joinpath(*TEMPLATE)
    # Each look at the clock is three seconds later.
    clock = map(float, range(0, 3_000, 3))
    with ExitStack() as stack:
        shown = ImportShown(output, stack, path, "shop", wording=Wording.ENGINE, clock=clock.__next__)
        shown.finished(await import_export(cluster, path, "shop", progress=shown))
    said = err.getvalue().splitlines()
    assert f"Started import of database 'shop' from {path}..." in said
    assert "- Creating cluster 'person'...OK, assigned id=14, was 14" in said
    assert any(line.startswith("Done. Imported 13 records in ") for line in said)
    assert said[-1].startswith("Database import completed in ")
    assert not any("into the cluster" in line for line in said)


async def test_json_for_programs(shared: Path, tmp_path: Path) -> None:
    out = io.StringIO()
    output = Output(json=True, out=out, err=out)
    cluster = ClusterInMemory()
    with ExitStack() as stack:
        path = shared.joinpath(*TEMPLATE)
        report = await import_export(cluster, path, "shop", progress=ImportShown(output, stack, path, "shop"))
    show(output, report)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {line["type"] for line in lines} == {"message", "progress", "result"}
    assert {"cluster": "person", "records": 2}.items() <= next(
        one for one in lines if "cluster" in one and one["cluster"] == "person"
    ).items()
    assert lines[-1]["records"] == 13
    assert lines[-1]["dangling_listed"] == []
