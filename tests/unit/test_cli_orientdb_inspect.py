"""quiesce orientdb inspect: what it says of a file, to people and to programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quiesce.cli.main import run
from quiesce.errors import FileUnusable, TruncatedExport

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["orientdb", "inspect", str(EXAMPLES / "all-types-1.3.json.gz")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "Written by OrientDB 1.3.0, exporter version 5" in said
    assert "Sections: info, clusters, schema, records, indexes, manualIndexes" in said
    assert "Records: 23, 3 of them the engine's own" in said
    assert "  6  base (8)" in said
    assert "  3  Customer" in said
    assert "Links: 17 lead to records, 1 to none" in said
    assert "  #8:6 lostlist[0] -> #8:5" in said
    assert "   5  classes with `super-class`, of engines before 2.1" in said


def test_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["orientdb", "inspect", str(EXAMPLES / "all-types-3.2.34.json.gz"), "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["exporter_version"] == 13
    assert found["records"] == 155
    assert found["irregularities"]["extra commas between records"] == 154
    assert found["sections"][0] == {"name": "info", "byte": 8}
    assert {"id": 14, "name": "base", "records": 64} in found["clusters"]


def test_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["orientdb", "inspect", str(tmp_path / "absent")]) == FileUnusable.exit_code
    data = (EXAMPLES / "orient-3.2-template.json").read_bytes()
    (tmp_path / "cut").write_bytes(data[:-100])
    assert run(["orientdb", "inspect", str(tmp_path / "cut")]) == TruncatedExport.exit_code
    assert "indexes" in capsys.readouterr().err
