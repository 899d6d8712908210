"""deploy/: the example configurations are valid; the units give up on what a person must fix."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coordinator.config import KEYS as COORDINATOR_KEYS
from coordinator.config import coordinator_config
from nodes.config import KEYS as NODE_KEYS
from nodes.config import node_config
from quiesce.daemon.configuration import read_toml
from quiesce.errors import all_errors


def test_the_node_example_is_valid(project_root: Path) -> None:
    config = node_config(read_toml(project_root / "deploy" / "config" / "node.toml", NODE_KEYS))
    assert set(config.members) == {1, 2, 3}
    assert config.members[config.node_id] == config.advertise


def test_the_coordinator_example_is_valid(project_root: Path) -> None:
    config = coordinator_config(read_toml(project_root / "deploy" / "config" / "coordinator.toml", COORDINATOR_KEYS))
    assert len(config.cluster) == 3
    assert config.policy.lease_ms == 30_000


@pytest.mark.parametrize("daemon", ["node", "coordinator"])
def test_a_unit_starts_its_daemon_with_its_file(project_root: Path, daemon: str) -> None:
    unit = (project_root / "deploy" / "systemd" / f"quiesce-{daemon}.service").read_text()
    assert f"ExecStart=/opt/quiesce/bin/quiesce {daemon} --config /etc/quiesce/{daemon}.toml\n" in unit
    names = {error.exit_code: error.__name__ for error in all_errors()}
    (codes,) = re.findall(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
    final = {names.get(int(code), "Usage") for code in codes.split()}
    of_data = {"DamagedLog", "DamagedStore", "DiskFailed", "DirectoryNotEmpty", "DirectoryLost", "LogRolledBack"}
    assert final <= {"Usage", "InvalidConfiguration", "NodeRemoved", *of_data}
    assert "InvalidConfiguration" in final
