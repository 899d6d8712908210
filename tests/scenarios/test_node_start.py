"""How a node daemon refuses to start: a typed message, an exit code of its own, and nothing written."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.cluster import free_ports
from tests.scenarios.daemon import Daemon, until


class Starter:
    """Starts `quiesce node` with one member more than itself, which never comes; or `alone`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        ports = free_ports(2)
        self.port, self.data = ports[0], directory / "data"
        self.members = {node: f"127.0.0.1:{port}" for node, port in enumerate(ports, 1)}
        self.daemons: list[Daemon] = []

    def __call__(
        self, *arguments: str, node_id: int = 1, data: Path | None = None, new: bool = True, alone: bool = False
    ) -> Daemon:
        members = [f"{node}={address}" for node, address in self.members.items() if not alone or node == node_id]
        identity = [f"--members={','.join(members)}", "--cluster-id=x"] if new else []
        place = [f"--node-id={node_id}", f"--data={data or self.data}", f"--listen=127.0.0.1:{self.port}"]
        daemon = Daemon(["node", *place, *identity, *arguments], self._directory / f"{len(self.daemons)}.log")
        self.daemons.append(daemon)
        daemon.start()
        return daemon


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    for daemon in starter.daemons:
        daemon.kill()


def test_a_port_in_use_is_found_before_anything_is_written(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", start.port))
        taken.listen()
        daemon = start()
        assert daemon.wait(20) == 70
    assert f"127.0.0.1:{start.port} cannot be listened on" in daemon.tail()
    assert not start.data.exists()


@pytest.mark.parametrize(
    ("arguments", "new", "words"),
    [
        (["--election-ticks=3"], True, "election_ticks"),
        (["--config=/nowhere/node.toml"], True, "/nowhere/node.toml"),
        ([], False, "members: it is not given"),
    ],
)
def test_a_wrong_configuration_names_the_key(start, arguments, new, words):
    daemon = start(*arguments, new=new)
    assert daemon.wait(20) == 74
    assert words in daemon.tail()
    assert not start.data.exists()


def test_peers_that_never_come(start):
    daemon = start("--require-leader-within=1")
    assert daemon.wait(30) == 77
    assert "Start the other nodes" in daemon.tail()
    assert "Traceback" not in daemon.log.read_text()


def test_one_daemon_a_directory_and_it_stays_who_it_was(start, tmp_path):
    first = start()
    until(lambda: "listening" in first.tail(), 20, "the first daemon listens")
    second = start(f"--listen=127.0.0.1:{free_ports(3)[2]}")
    assert second.wait(20) == 75
    assert str(start.data) in second.tail()
    assert first.stop() == 0

    other = start(node_id=2)
    assert other.wait(20) == 74
    assert "is node 1's" in other.tail()
    other = start("--cluster-id=y")
    assert other.wait(20) == 74
    assert "belongs to x" in other.tail()
    assert start(new=False, data=tmp_path / "data").running


def test_a_directory_of_something_else_is_left_alone(start):
    start.data.mkdir()
    (start.data / "photo.jpg").write_bytes(b"x")
    daemon = start()
    assert daemon.wait(20) == 76
    assert sorted(entry.name for entry in start.data.iterdir()) == ["photo.jpg"]


def test_a_damaged_log_is_said_to_be_so(start):
    daemon = start(alone=True)
    until(lambda: "listening" in daemon.tail(), 20, "the daemon listens")
    daemon.kill()
    log = next((start.data / "raft").glob("*.log"))
    content = bytearray(log.read_bytes())
    content[20] ^= 0xFF
    log.write_bytes(content)
    daemon = start(alone=True)
    assert daemon.wait(20) == 71
    assert str(log) in daemon.tail()
