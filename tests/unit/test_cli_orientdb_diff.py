"""quiesce orientdb diff: every difference, on standard output, and an exit code that says whether there is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quiesce.cli.main import run
from quiesce.errors import ExportsDiffer, MalformedExport


def export(path: Path, records: list[dict[str, object]]) -> str:
    whole = [{"@type": "d", "@version": 1} | one for one in records]
    schema = {"classes": [{"name": "A", "default-cluster-id": 9, "cluster-ids": [9]}]}
    clusters = [{"name": "a", "id": 9}]
    path.write_text(json.dumps({"clusters": clusters, "schema": schema, "records": whole}))
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    left = [{"@rid": f"#9:{n}", "@class": "A", "n": n} for n in range(5)]
    right = [
        left[0] | {"@version": 3},
        {"n": 1, "@rid": "#9:1", "@class": "A"},
        left[2] | {"n": 7, "@fieldTypes": "n=l"},
        left[4],
    ]
    return export(tmp_path / "left.json", left), export(tmp_path / "right.json", right)


def test_says_each_difference(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["orientdb", "diff", *files]) == ExportsDiffer.exit_code
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "record #9:0: @version: 1 | 3",
        "record #9:2: n: 2 | 7 (l)",
        "record #9:3 is only on the left",
        "2 records are equal; 3 differences.",
    ]
    assert "differ in 3 places" in err


def test_versions_and_limit(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["orientdb", "diff", *files, "--ignore-versions", "--limit", "1"]) == ExportsDiffer.exit_code
    assert capsys.readouterr().out.splitlines() == [
        "record #9:2: n: 2 | 7 (l)",
        "3 records are equal; 2 differences, of which 1 are shown.",
    ]


def test_json(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["orientdb", "diff", *files, "--limit", "0", "--output", "json"]) == ExportsDiffer.exit_code
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[1] == {
        "type": "difference", "what": "record", "name": "#9:2", "path": "n", "left": "2", "right": "7 (l)",
    }  # fmt: skip
    assert lines[-1] == {"type": "result", "equal_records": 2, "differences": 3, "by_what": {"record": 3}}
    assert json.loads(err)["reason"] == "EXPORTS_DIFFER"


def test_equal_files(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["orientdb", "diff", files[0], files[0]]) == 0
    assert capsys.readouterr().out == "5 records are equal; 0 differences.\n"


def test_what_is_no_export(files: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("[]")
    assert run(["orientdb", "diff", files[0], str(tmp_path / "bad")]) == MalformedExport.exit_code
