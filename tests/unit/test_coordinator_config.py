"""The coordinator's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from coordinator import daemon
from coordinator.command import coordinator
from coordinator.config import KEYS, CoordinatorConfig, coordinator_config
from quiesce.daemon.configuration import parse_duration, read_toml
from quiesce.errors import InvalidConfiguration


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), ("1.5", 1_500), (3, 3_000), (" 3 s ", 3_000)],
)
def test_durations(text: object, milliseconds: int) -> None:
    assert parse_duration("lease", text) == milliseconds


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lease": "soon"}, "lease: `soon`"),
        ({"lease": True}, "lease"),
        ({"lease": "-3s"}, "lease"),
        ({"lease": "2s"}, "between 3s"),
        ({"lease": "48h"}, "between 3s"),
        ({"listen": "7100"}, "listen: `7100`"),
        ({"cluster": ","}, "cluster"),
        ({"cluster": "a:1,b"}, "cluster: `b`"),
        ({"attempts": 0}, "attempts"),
        ({"log_format": "xml"}, "log_format"),
        ({"repository": 5}, "repository"),
    ],
)
def test_refuses(values: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidConfiguration, match=said):
        coordinator_config(values)


def test_flags_go_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[CoordinatorConfig] = []

    async def serve(config: CoordinatorConfig) -> None:
        started.append(config)

    monkeypatch.setattr(daemon, "serve", serve)
    file = tmp_path / "coordinator.toml"
    file.write_text('lease = "10s"\ncluster = ["a:1", "b:2"]\nattempts = 2\nrepository = "/file"\n')
    answer = CliRunner().invoke(
        coordinator,
        ["--config", str(file), "--lease", "3s"],
        env={"QUIESCE_COORDINATOR_REPOSITORY": "/environment", "QUIESCE_COORDINATOR_LEASE": "20s"},
    )
    assert answer.exit_code == 0, answer.output
    (config,) = started
    assert config.policy.lease_ms == 3_000
    assert config.policy.attempts == 2
    assert config.cluster == ("a:1", "b:2")
    assert config.repository == "/environment"
    assert config.listen == "127.0.0.1:7100"


def test_a_file_with_a_key_that_does_not_exist(tmp_path: Path) -> None:
    file = tmp_path / "coordinator.toml"
    file.write_text("leese = 3\n")
    with pytest.raises(InvalidConfiguration, match="no key `leese`"):
        read_toml(file, KEYS)
    with pytest.raises(InvalidConfiguration, match="nothing"):
        read_toml(tmp_path / "nothing.toml", KEYS)


@pytest.mark.parametrize("text", ["50", "0ms", "-5ms", "61s", "soon", 50])
def test_a_latency_budget_without_a_unit_or_a_sense_is_refused(text: object) -> None:
    with pytest.raises(InvalidConfiguration, match="latency_budget"):
        coordinator_config({"latency_budget": text})
    assert coordinator_config({}).policy.latency_budget_ms == 0
    assert coordinator_config({"latency_budget": "50ms"}).policy.latency_budget_ms == 50
