"""`quiesce coordinator`: runs the coordinator daemon."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from coordinator.config import KEYS, coordinator_config, read_toml
from coordinator.logs import set_up_logs


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for key in reversed(KEYS):
        text = key.help if key.default in ("", None) else f"{key.help} Default {key.default}."
        flag = f"--{key.name.replace('_', '-')}"
        command = click.option(flag, key.name, help=text)(command)
    return command


@click.command(context_settings={"auto_envvar_prefix": "QUIESCE_COORDINATOR"})
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A TOML file with the same keys; flags and QUIESCE_COORDINATOR_… go before it.",
)
@_options
def coordinator(config: Path | None, **flags: Any) -> None:
    """Run the coordinator: it takes one replica at a time out of rotation and has it backed up."""
    from coordinator.daemon import serve

    values = read_toml(config) if config is not None else {}
    values.update({name: value for name, value in flags.items() if value is not None})
    settings = coordinator_config(values)
    set_up_logs(settings.log_format, settings.log_level, sys.stderr)
    asyncio.run(serve(settings))
