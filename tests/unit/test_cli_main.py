"""The frame: commands are found, errors become exit codes, --output stands anywhere."""

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from quiesce.cli import main
from quiesce.cli.options import cluster_option
from quiesce.cli.output import Output, pass_output
from quiesce.errors import UnknownNode


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command `plugin`, as the daemons' packages bring theirs."""
    seen: list[str] = []

    @click.group(name="plugin")
    @cluster_option
    def plugin(cluster: str) -> None:
        """Do what a plug-in does."""

    @plugin.command()
    @cluster_option
    @pass_output
    def say(output: Output, cluster: str) -> None:
        seen.append(cluster)
        output.result({"cluster": cluster}, f"cluster {cluster}")

    @plugin.command()
    def fail() -> None:
        raise UnknownNode(node_id=9, known="1, 2, 3")

    @plugin.command()
    def interrupt() -> None:
        raise KeyboardInterrupt

    class Entry:
        def load(self) -> click.Command:
            return plugin

    monkeypatch.setattr(main, "_plugins", lambda: {"plugin": Entry()})
    return seen


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys, click\n"
        "from quiesce.cli.main import cli\n"
        "try: cli(['--help'])\n"
        "except SystemExit: pass\n"
        "loaded = [m for m in sys.modules if m.startswith(('grpc', 'rich', 'rocksdict', 'nodes', 'coordinator'))]\n"
        "assert not loaded, loaded\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    for name in ("up", "nodes", "databases", "backup", "snapshots", "jobs", "import", "export", "version", "node"):
        assert f"\n  {name} " in found.stdout


def test_help_of_a_plugin_that_is_not_known_here(plugin: list[str]) -> None:
    assert "Do what a plug-in does." in CliRunner().invoke(main.cli, ["--help"]).output


@pytest.mark.parametrize(
    "arguments",
    [["--output", "json", "plugin", "say"], ["plugin", "--output", "json", "say"], ["plugin", "say", "--output=json"]],
)
def test_output_stands_anywhere(plugin: list[str], arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["type"] == "result"


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["plugin", "--cluster", "a:1", "say"], "a:1"),
        (["plugin", "say", "--cluster", "b:1"], "b:1"),
        (["plugin", "--cluster", "a:1", "say", "--cluster", "b:1"], "b:1"),
    ],
)
def test_the_cluster_stands_before_or_behind(plugin: list[str], arguments: list[str], seen: str) -> None:
    assert main.run(arguments) == 0
    assert plugin == [seen]


def test_the_cluster_of_the_environment(plugin: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUIESCE_CLUSTER", "e:1")
    assert main.run(["plugin", "say"]) == 0
    assert main.run(["plugin", "--cluster", "a:1", "say"]) == 0
    assert plugin == ["e:1", "a:1"]


def test_a_typed_error_is_its_message_and_its_exit_code(plugin: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["plugin", "fail"]) == UnknownNode.exit_code
    assert capsys.readouterr().err == "quiesce: There is no node 9 in this cluster; its nodes are 1, 2, 3.\n"
    assert main.run(["plugin", "fail", "--output", "json"]) == UnknownNode.exit_code
    assert json.loads(capsys.readouterr().err)["reason"] == "UNKNOWN_NODE"


def test_ctrl_c_and_wrong_usage(plugin: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["plugin", "interrupt"]) == 130
    assert main.run(["nonsense"]) == 2
    assert "No such command" in capsys.readouterr().err
    assert main.run(["--output", "json", "nonsense"]) == 2
    assert json.loads(capsys.readouterr().err)["reason"] == "USAGE"


def test_every_command_of_this_package_loads() -> None:
    for name in ("up", "nodes", "databases", "backup", "snapshots", "jobs", "version"):
        command = main.cli.get_command(click.Context(main.cli), name)
        assert command is not None
        assert command.name == name
        assert any("--output" in parameter.opts for parameter in command.params)
