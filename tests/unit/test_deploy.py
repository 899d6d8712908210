"""deploy/: the example configurations are valid; the units give up on what a person must fix."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
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


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("daemon", ["node", "coordinator"])
def test_systemd_takes_the_unit_as_it_is(project_root: Path, tmp_path: Path, daemon: str) -> None:
    unit = (project_root / "deploy" / "systemd" / f"quiesce-{daemon}.service").read_text()
    # It looks whether the program is there; ours is not where it will be installed.
    there = tmp_path / f"quiesce-{daemon}.service"
    there.write_text(unit.replace("/opt/quiesce/bin/quiesce", f"{Path(sys.executable).parent}/quiesce"))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", there]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    # What is not known to it is a warning, and no failure.
    assert (done.returncode, done.stderr + done.stdout) == (0, "")


def sections(unit: str) -> list[tuple[str, str, str]]:
    """Return (section, key, value) of each line."""
    section, found = "", list[tuple[str, str, str]]()
    for line in unit.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.append((section, key, value))
    return found


def test_the_units_write_where_the_configurations_say(project_root: Path) -> None:
    config = node_config(read_toml(project_root / "deploy" / "config" / "node.toml", NODE_KEYS))
    read = read_toml(project_root / "deploy" / "config" / "coordinator.toml", COORDINATOR_KEYS)
    repository = coordinator_config(read).repository
    for daemon in ("node", "coordinator"):
        lines = sections((project_root / "deploy" / "systemd" / f"quiesce-{daemon}.service").read_text())
        assert len(lines) == len(set(lines))
        of_service = {key: value for section, key, value in lines if section == "Service"}
        assert of_service["ProtectSystem"] == "strict"
        # A missing repository must not keep a daemon from its start.
        assert of_service["ReadWritePaths"] == f"-{repository}"
        if daemon == "node":
            assert config.data.is_relative_to(f"/var/lib/{of_service['StateDirectory']}")
            assert float(of_service["TimeoutStopSec"].removesuffix("s")) > config.drain_grace + config.stop_grace
    assert ("Unit", "StartLimitIntervalSec", "0") in lines
