"""`quiesce up`: children are restarted, stopped with it in order, and none outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quiesce import Client
from quiesce.errors import DirectoryInUse
from quiesce.v1.node_pb2 import NodeStatus
from tests.scenarios.cluster import free_port_range
from tests.scenarios.daemon import until

READY_WITHIN_S = 60.0


class Up:
    """One `quiesce up` that serves."""

    def __init__(self, directory: Path, first_port: int) -> None:
        self.arguments = ["up", "--data", str(directory), "--first-port", str(first_port), "--output", "json"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "quiesce", *self.arguments], stdout=subprocess.PIPE, text=True
        )
        self.messages: list[str] = []
        self.facts = self._ready()
        self.pids: dict[str, int] = self.facts["pids"]

    def _ready(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            facts: dict[str, Any] = json.loads(line)
            if facts["type"] == "result":
                return facts
            self.messages.append(facts["text"])
        raise AssertionError(f"it ended with {self._process.wait()}: {self.messages}")

    def next_message(self) -> str:
        assert self._process.stdout is not None
        return str(json.loads(self._process.stdout.readline())["text"])

    def end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        code = self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    @property
    def running(self) -> bool:
        return self._process.poll() is None


@pytest.fixture
def ups() -> Iterator[list[Up]]:
    started: list[Up] = []
    yield started
    for up in started:
        if up.running:
            up.end(signal.SIGKILL)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def all_gone(pids: dict[str, int]) -> bool:
    return all(map(gone, pids.values()))


def all_answer(client: Client) -> bool:
    return all(isinstance(status, NodeStatus) for _, status in client.admin.statuses())


def test_a_cluster_lives_and_dies_with_its_command(tmp_path: Path, ups: list[Up]) -> None:
    directory = tmp_path / "cluster"
    ups.append(up := Up(directory, free_port_range(4)))
    assert sorted(up.pids) == ["coordinator", "node-1", "node-2", "node-3"]
    members = list(up.facts["members"].values())

    second = subprocess.run([sys.executable, "-m", "quiesce", *up.arguments], capture_output=True, check=False)
    assert second.returncode == DirectoryInUse.exit_code

    with Client(members, timeout_s=20) as client:
        client.create_database("kept")
        os.kill(up.pids["node-2"], signal.SIGKILL)
        assert "node-2 was ended by SIGKILL; it is started again" in up.next_message()
        until(lambda: all_answer(client), READY_WITHIN_S, "node 2 answers again")

    assert up.end(signal.SIGINT) == 0
    assert all_gone(up.pids)

    # Started again, it is the same cluster; killed, it leaves nothing running.
    ups.append(again := Up(directory, int(up.arguments[4])))
    assert again.facts["cluster_id"] == up.facts["cluster_id"]
    with Client(members, timeout_s=20) as client:
        assert [database.name for database in client.list_databases()] == ["kept"]
    again.end(signal.SIGKILL)
    until(lambda: all_gone(again.pids), 10, "its children are gone")
