"""`quiesce node`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nodes.config import KEYS, NodeConfig, node_config, read_toml
from quiesce.errors import QuiesceError

_SWITCH_INTERVAL_S = 0.0005


def _load_file(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.default_map = {**(context.default_map or {}), **read_toml(path)}


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command one option for each key; what it means is read in `node_config`, wherever it comes from."""
    for key in reversed(KEYS):
        flag = f"--{key.name.replace('_', '-')}"
        default = "" if key.flag or key.default in (None, "", 0) else f" Default {key.default}."
        if key.flag:
            option = click.option(f"{flag}/--no-{flag[2:]}", key.name, default=None, help=key.help)
        else:
            option = click.option(flag, key.name, type=click.UNPROCESSED, default=None, help=key.help + default)
        command = option(command)
    return command


@click.command(context_settings={"auto_envvar_prefix": "QUIESCE_NODE", "show_default": False})
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_load_file,
    help="A TOML file with any of the keys below (with `_` for `-`).",
)
@_options
def node(**values: Any) -> None:
    """Run one node of a cluster until it is stopped.

    A new node needs --node-id, --data, --members and --cluster-id; one that has data needs --node-id and --data.
    """
    try:
        run(node_config(values))
    except QuiesceError as error:
        click.echo(f"quiesce node: {error}", err=True)
        sys.exit(error.exit_code)


def run(config: NodeConfig) -> None:
    """Run the daemon in this process; see `run_daemon` for what it raises."""
    import uvloop

    from nodes.daemon import run_daemon
    from nodes.logs import configure_logs

    configure_logs(form=config.log_format, level=config.log_level, node_id=config.node_id)
    # The event loop gets the interpreter back sooner from the threads that scan and apply: with two scans running,
    # twice as many point reads, and their p50 halved.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # An empty gRPC call costs about 140 µs of processor time here, and 230 µs on the loop of asyncio itself.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_daemon(config))


if __name__ == "__main__":
    node()
