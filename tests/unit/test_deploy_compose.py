"""deploy/compose.yaml: as the Compose specification has it, and as the daemons' own readers understand it.

No container is started here: whether the image builds is not seen.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from coordinator.command import coordinator
from coordinator.config import CoordinatorConfig, coordinator_config
from nodes.command import node
from nodes.config import NodeConfig, node_config
from quiesce.cli.main import cli
from quiesce.cli.options import TIMEOUT_S
from quiesce.client.addresses import split_addresses
from quiesce.errors import PolicyExists

NODES = ("node-1", "node-2", "node-3")
COORDINATORS = ("coordinator-1", "coordinator-2")
REPOSITORY = "/var/lib/quiesce-repository"


@pytest.fixture(scope="module")
def compose(project_root: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(project_root / "deploy" / "compose.yaml")
    return found


def environment(service: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a service; `${NAME:-default}` has its default."""
    texts = {name: str(value) for name, value in service.get("environment", {}).items()}
    return {n: v.partition(":-")[2].removesuffix("}") if v.startswith("${") else v for n, v in texts.items()}


def parsed(command: click.Command, arguments: list[str], variables: dict[str, str]) -> dict[str, Any]:
    """Have a command's own parser read its arguments and the environment, and return the values."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return dict(command.make_context(command.name, list(arguments)).params)


def known_variables(command: click.Command) -> set[str]:
    prefix = command.context_settings["auto_envvar_prefix"]
    return {f"{prefix}_{parameter.name}".upper() for parameter in command.params}


def node_of(compose: dict[str, Any], name: str) -> NodeConfig:
    service = compose["services"][name]
    assert service["command"][0] == "node"
    return node_config(parsed(node, service["command"][1:], environment(service)))


def coordinator_of(compose: dict[str, Any], name: str) -> CoordinatorConfig:
    service = compose["services"][name]
    assert service["command"][0] == "coordinator"
    return coordinator_config(parsed(coordinator, service["command"][1:], environment(service)))


def volumes(service: dict[str, Any]) -> dict[str, str]:
    """Return the volume at each place."""
    return {place: name for name, place in (text.split(":") for text in service["volumes"])}


def test_it_follows_the_schema_of_the_compose_specification(project_root: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, project_root / "deploy" / "compose.yaml"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_three_nodes_of_one_cluster_and_two_coordinators(compose: dict[str, Any]) -> None:
    configs = [node_of(compose, name) for name in NODES]
    assert [config.node_id for config in configs] == [1, 2, 3]
    assert len({(config.cluster_id, tuple(config.members.items())) for config in configs}) == 1
    for name, config in zip(NODES, configs, strict=True):
        # The name of a service is its host name.
        assert config.advertise == config.members[config.node_id] == f"{name}:{config.listen.rpartition(':')[2]}"
    both = [coordinator_of(compose, name) for name in COORDINATORS]
    assert both[0] == both[1]
    assert sorted(both[0].cluster) == sorted(configs[0].members.values())
    assert both[0].repository == REPOSITORY
    assert set(compose["services"]) == {*NODES, *COORDINATORS, "nightly-policy"}


def test_every_variable_is_one_that_somebody_reads(compose: dict[str, Any]) -> None:
    everybody = {"QUIESCE_CLUSTER", "QUIESCE_COORDINATOR"}
    for name, service in compose["services"].items():
        command = node if name in NODES else coordinator if name in COORDINATORS else None
        known = everybody | (known_variables(command) if command else set())
        assert set(service["environment"]) <= known
        addresses = environment(service)
        assert [a.partition(":")[0] for a in split_addresses(addresses["QUIESCE_COORDINATOR"])] == list(COORDINATORS)
        if command:
            assert [a.partition(":")[0] for a in split_addresses(addresses["QUIESCE_CLUSTER"])] == list(NODES)


def test_each_node_has_its_own_volume_and_all_have_the_repository(compose: dict[str, Any]) -> None:
    for name in NODES:
        places = volumes(compose["services"][name])
        assert places == {"/var/lib/quiesce": name, REPOSITORY: "repository"}
        assert node_of(compose, name).data.is_relative_to("/var/lib/quiesce")
    for name in COORDINATORS:
        assert volumes(compose["services"][name]) == {REPOSITORY: "repository"}
    assert set(compose["volumes"]) == {*NODES, "repository"}


def test_health_is_asked_for_where_the_daemon_listens(compose: dict[str, Any]) -> None:
    health = cli.get_command(click.Context(cli), "health")
    assert health is not None
    for name in (*NODES, *COORDINATORS):
        check = compose["services"][name]["healthcheck"]["test"]
        assert check[:3] == ["CMD", "quiesce", "health"]
        values = parsed(health, check[3:], {})
        listen = (node_of(compose, name) if name in NODES else coordinator_of(compose, name)).listen
        assert values["address"].rpartition(":")[2] == listen.rpartition(":")[2]
        # A standby leads nothing, and a node out of rotation serves nobody: both are well.
        assert values["service"] == ""
        assert values["timeout"] < TIMEOUT_S * 1000


def test_the_policy_is_made_once_and_its_being_there_is_no_failure(
    compose: dict[str, Any], tmp_path: Path, project_root: Path
) -> None:
    service = compose["services"]["nightly-policy"]
    group = cli.get_command(click.Context(cli), "policies")
    assert isinstance(group, click.Group)
    # `$$` is how Compose writes `$`.
    script = service["entrypoint"][2].replace("$$", "$")
    words = shlex.split(script.partition(" || ")[0])
    assert words[:3] == ["quiesce", "policies", "create"]
    values = parsed(group.commands["create"], [words[3], *service["command"]], environment(service))
    assert (values["name"], values["cron"], values["zone"]) == ("nightly", "30 2 * * *", "Europe/Berlin")
    assert service["restart"] == "on-failure"
    # The shell's part, with a `quiesce` that ends as the real one would.
    quiesce = tmp_path / "quiesce"
    for code, wanted in ((0, 0), (PolicyExists.exit_code, 0), (10, 1)):
        quiesce.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexit {code}\n')
        quiesce.chmod(0o755)
        command = [*service["entrypoint"][:2], script, *service["entrypoint"][3:], *service["command"]]
        done = subprocess.run(command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False, timeout=20)
        assert done.returncode == wanted
        assert (tmp_path / "arguments").read_text() == (
            "policies create nightly --cron 30 2 * * * --zone Europe/Berlin --jitter 10m\n"
        )


def test_nothing_is_published_and_nothing_runs_with_more_rights_than_it_needs(
    compose: dict[str, Any], project_root: Path
) -> None:
    for service in compose["services"].values():
        assert "ports" not in service
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
    text = (project_root / "deploy" / "Containerfile").read_text()
    users = [line.split()[1] for line in text.splitlines() if line.startswith("USER ")]
    assert users == ["10001:10001"]
    # After the last stage began: it is the image's.
    assert text.rindex("USER ") > text.rindex("FROM ")


def test_what_the_image_is_built_from_is_there_and_not_ignored(compose: dict[str, Any], project_root: Path) -> None:
    for service in compose["services"].values():
        assert service["build"] == {"context": "..", "dockerfile": "deploy/Containerfile"}
    lines = (project_root / "deploy" / "Containerfile").read_text().splitlines()
    copied = [path for line in lines if line.startswith("COPY ") for path in line.split()[1:-1]]
    kept = {line[1:] for line in (project_root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert len(copied) > 7
    for path in copied:
        assert (project_root / path).exists()
        assert path in kept
