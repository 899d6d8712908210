"""P10: `quiesce export` as the guide shows it: each command runs as it stands, and each file comes in again."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiesce.errors import InvalidExportOption, UnknownClass
from quiesce.orientdb import survey
from tests.scenarios.cli import ROOT, quiesce
from tests.scenarios.cluster import Cluster

GUIDE = ROOT / "docs" / "guide" / "orientdb.md"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[Cluster]:
    template = shared / "orientdb-exports" / "templates" / "orient-3.2-template.json"
    with Cluster(tmp_path_factory.mktemp("cluster"), size=1) as running:
        for name, file in (("petshop", template), ("world", ROOT / "examples" / "world-3.2.34.json.gz")):
            answer = quiesce("import", str(file), "--database", name, "--cluster", running.addresses, timeout_s=300)
            assert answer.code == 0, answer.error
        yield running


def commands() -> list[str]:
    section = GUIDE.read_text().split("\n## Export\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_the_guides_commands(cluster: Cluster, tmp_path: Path) -> None:
    found = commands()
    assert len(found) >= 8
    (tmp_path / "password.txt").write_text("correct horse\n")
    (tmp_path / "backup").mkdir()
    for number, line in enumerate(found):
        before = set(tmp_path.rglob("*"))
        program, *arguments = shlex.split(line.replace("/backup/", f"{tmp_path}/backup/"), comments=True)
        assert program == "quiesce"
        done = subprocess.run(
            [sys.executable, "-m", "quiesce", *arguments, "--cluster", cluster.addresses],
            cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        [made] = set(tmp_path.rglob("*")) - before
        name = f"again{number}"
        answer = quiesce("import", str(made), "--database", name, "--cluster", cluster.addresses, timeout_s=120)
        assert answer.code == 0, f"{line}\n{answer.error}"
    assert {one.name for one in tmp_path.iterdir()} >= {"petshop.json.gz", "x.json", "schema.json", "old.json.gz"}


def test_lines_of_the_version(cluster: Cluster, tmp_path: Path) -> None:
    answer = quiesce(
        "export",
        "world",
        str(tmp_path / "w"),
        "--orientdb-version",
        "2.2",
        "--cluster",
        cluster.addresses,
        timeout_s=120,
    )
    said = answer.error.splitlines()
    assert "Exporting database info...OK" in said
    assert any(re.fullmatch(r"- Cluster 'country' \(id=\d+\)\.\.\.\.{10}OK \(records=126/126\)", line) for line in said)
    assert any(re.fullmatch(r"Database export completed in \d+ms", line) for line in said)
    # Its clusters 4 to 6 are others in 2.2; the counts by name are the same.
    there, here = survey(tmp_path / "w.json.gz"), survey(ROOT / "examples" / "world-3.2.34.json.gz")
    assert there.records == here.records == 79_505
    moved = {one.id for one in there.clusters if one.name == "orole"}
    assert moved == {4}


def test_what_there_is_not(cluster: Cluster, tmp_path: Path) -> None:
    for error, options in ((UnknownClass, ["--include-class", "Dgo"]), (InvalidExportOption, ["--only", "record"])):
        answer = quiesce("export", "petshop", str(tmp_path / "x"), *options, "--cluster", cluster.addresses)
        assert answer.code == error.exit_code
    assert list(tmp_path.iterdir()) == []
