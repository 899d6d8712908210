"""The frame of the `quiesce` command: finds the commands, turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import click

from quiesce.cli.options import output_option
from quiesce.cli.output import Output

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# Name, module under quiesce.cli.commands, and short help: the modules are imported when they are used, so that
# `quiesce --help` is quick. Each holds its command as `command`.
_COMMANDS = {
    "up": ("up", "Start a cluster of three and a coordinator on this machine."),
    "nodes": ("nodes", "Show nodes; add and remove them; take them out of rotation."),
    "databases": ("databases", "List, create, show and drop databases."),
    "backup": ("backup", "Take a snapshot of one replica while the others serve."),
    "snapshots": ("snapshots", "List, show, verify, keep and remove snapshots."),
    "jobs": ("jobs", "List, watch and cancel backups."),
    "policies": ("policies", "Backups on a schedule."),
    "drills": ("drills", "Restore snapshots into a throw-away node, and check them."),
    "import": ("import_", "Import a database from OrientDB's export format."),
    "export": ("export", "Export a database in OrientDB's export format."),
    "orientdb": ("orientdb", "Look into files in OrientDB's export format, and compare them."),
    "console": ("console", "Speak to a cluster in the words of OrientDB's console."),
    "health": ("health", "Ask a daemon whether it serves, for probes."),
    "version": ("version", "Show the version."),
}
# The same for commands of the daemons; one that is not here is imported for its help.
_PLUGIN_HELP = {
    "node": "Run a node daemon.",
    "coordinator": "Run the coordinator daemon.",
    "restore": "Restore a snapshot into a new cluster.",
    "check": "Examine a stopped node's data for damage.",
    "salvage": "Make a node that lost its majority a new cluster.",
}


@cache
def _plugins() -> dict[str, EntryPoint]:
    """Return the commands of the daemons' packages, which this package does not import."""
    # Imported here: a command of this package starts without its 25 ms.
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group="quiesce.commands")}


class Commands(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names, this package's first."""
        return [*_COMMANDS, *sorted(name for name in _plugins() if name not in _COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command; None where there is none of that name."""
        if cmd_name in _COMMANDS:
            command = importlib.import_module(f"quiesce.cli.commands.{_COMMANDS[cmd_name][0]}").command
        elif cmd_name in _plugins():
            command = _plugins()[cmd_name].load()
        else:
            return None
        return _with_output(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        rows = []
        for name in self.list_commands(ctx):
            known = _COMMANDS[name][1] if name in _COMMANDS else _PLUGIN_HELP.get(name)
            if known is None and (command := self.get_command(ctx, name)) is not None:
                known = command.get_short_help_str()
            rows.append((name, known or ""))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _with_output(command: click.Command) -> click.Command:
    """Let `--output` stand behind the name of a command, too, whoever wrote it."""
    if not any("--output" in parameter.opts for parameter in command.params):
        command.params.append(output_option())
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            _with_output(subcommand)
    return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A replicated record store that backs itself up while it serves.

    Begin with `quiesce up`.
    """
    ctx.ensure_object(Output)


_with_output(cli)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; None takes the process's arguments."""
    from quiesce.errors import QuiesceError

    output = Output()
    try:
        outcome = cli.main(arguments, prog_name="quiesce", obj=output, standalone_mode=False)
    except QuiesceError as error:
        output.error(error)
        return error.exit_code
    except click.ClickException as error:
        if output.json:
            output.failure("USAGE", error.format_message(), error.exit_code)
        else:
            error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read the output has gone, as in `quiesce snapshots | head -1`.
        sys.stdout = None
        return 141
    return outcome if isinstance(outcome, int) else 0
