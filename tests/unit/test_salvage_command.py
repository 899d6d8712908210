"""`quiesce salvage`: what it says, what it asks, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from salvage_directories import lost_node, tree
from state_entries import new_database

from nodes.data_directory import DataDirectory
from nodes.identity import read_identity
from nodes.salvage import peers
from nodes.salvage_command import salvage
from quiesce.cli.output import Output
from quiesce.errors import ClusterAlive, DirectoryInUse, FileUnusable, Unavailable
from quiesce.v1.node_pb2 import NodeStatus


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return lost_node(tmp_path / "old", [new_database()], [new_database("b")], committed=1, applied=1)


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the other nodes answer, by address."""
    found: dict[str, Any] = {}

    async def ask(_cluster_id: str, address: str) -> Any:
        return found.get(address) or Unavailable(addresses=address, seconds=2, detail="Connection refused")

    monkeypatch.setattr(peers, "_ask", ask)
    return found


def run(*arguments: object, asked: str | None = None, json_lines: bool = False) -> Result:
    return CliRunner().invoke(salvage, list(map(str, arguments)), obj=Output(json=json_lines), input=asked)


def test_a_dry_run_tells_where_the_log_ends_and_changes_nothing(old: Path) -> None:
    before = tree(old)
    done = run(old, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "node 1 of cluster old. Its log ends with term 3, index 7." in done.output
    assert "through index 6, as far as it knows; 1 commands in 1 entries" in done.output
    facts = json.loads(run(old, "--dry-run", json_lines=True).output)
    assert (facts["last_term"], facts["last_index"], facts["committed_index"], facts["applied_index"]) == (3, 7, 6, 6)
    assert tree(old) == before


def test_it_says_what_is_lost_before_it_does_anything(old: Path, tmp_path: Path) -> None:
    done = run(old, "--data", tmp_path / "new", "--yes")
    assert done.exit_code == 0, done.output
    words = done.output
    assert "Node 2 at 127.0.0.1:2 does not answer" in words
    assert "Nodes 2, 3 may have had writes that are not here" in words
    assert words.index("is lost") < words.index("has one node, 1, in")
    identity = read_identity(tmp_path / "new")
    assert identity is not None
    assert identity.cluster_id not in ("old", "")
    assert dict(identity.members) == {1: "127.0.0.1:1"}


def test_json_lines(old: Path, tmp_path: Path) -> None:
    wanted = ("--cluster-id", "rest", "--node-id", 9, "--address", "10.0.0.1:7101")
    done = run(old, "--data", tmp_path / "new", "--yes", *wanted, json_lines=True)
    result = json.loads(done.output.splitlines()[-1])
    assert (result["type"], result["cluster_id"], result["node_id"], result["address"]) == (
        "result", "rest", 9, "10.0.0.1:7101",
    )  # fmt: skip
    assert result["salvaged"]["uncertain_commands"] == 1


def test_nobody_is_asked_where_nobody_sits(old: Path, tmp_path: Path) -> None:
    done = run(old, "--data", tmp_path / "new", asked="y\n")
    assert done.exit_code == 2
    assert "--yes" in done.output
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--dry-run"),
        (["--data", "x", "--dry-run"], "--dry-run"),
        (["--data", "x", "--yes", "--cluster-id", "old"], "is the old cluster's"),
        (["--data", "x", "--yes", "--cluster-id", "a b"], "letters"),
        (["--data", "x", "--yes", "--address", "nowhere"], "host:port"),
        (["--data", "x", "--yes", "--address", "here:0"], "port 0"),
        (["--data", "x", "--yes", "--node-id", "0"], "0"),
    ],
)
def test_wrong_usage_does_nothing(old: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    done = run(old, *(str(tmp_path / "x") if word == "x" else word for word in arguments))
    assert done.exit_code == 2
    assert words in done.output
    assert not (tmp_path / "x").exists()


def test_a_cluster_that_has_a_leader_needs_no_salvage(old: Path, tmp_path: Path, answers: dict[str, Any]) -> None:
    answers["127.0.0.1:3"] = NodeStatus(node_id=3, cluster_id="old", leader_id=2)
    done = run(old, "--data", tmp_path / "new", "--yes")
    assert isinstance(done.exception, ClusterAlive)
    assert not (tmp_path / "new").exists()


def test_a_node_that_answers_is_pointed_out(old: Path, tmp_path: Path, answers: dict[str, Any]) -> None:
    answers["127.0.0.1:2"] = NodeStatus(node_id=2, cluster_id="another", leader_id=2)
    answers["127.0.0.1:3"] = NodeStatus(node_id=3, cluster_id="old")
    done = run(old, "--data", tmp_path / "new", "--yes")
    assert done.exit_code == 0
    assert "At 127.0.0.1:2, where node 2 was, cluster another answers." in done.output
    assert "Node 3 at 127.0.0.1:3 answers and has no leader. If it and this node are a majority" in done.output


def test_a_node_that_runs_is_left_alone(old: Path, tmp_path: Path) -> None:
    running = DataDirectory(old)
    running.lock()
    try:
        assert isinstance(run(old, "--data", tmp_path / "new", "--yes").exception, DirectoryInUse)
    finally:
        running.unlock()


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    assert isinstance(run(tmp_path, "--data", tmp_path / "new", "--yes").exception, FileUnusable)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_not_salvaged_into_itself(old: Path) -> None:
    before = tree(old)
    assert isinstance(run(old, "--data", old, "--yes").exception, DirectoryInUse)
    assert tree(old) == before
