"""A daemon's keys as options of its command: flags go before the environment, the environment before the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from quiesce.daemon.configuration import Key, read_toml


def configured(keys: Sequence[Key]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command `--config`, and one option a key; the values arrive as they were given, or as None."""

    def load(context: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
        if path is not None:
            context.default_map = {**(context.default_map or {}), **read_toml(path, keys)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for key in reversed(keys):
            command = _option(key)(command)
        return click.option(
            "--config",
            type=click.Path(path_type=Path),
            is_eager=True,
            expose_value=False,
            callback=load,
            help="A TOML file with any of the keys below (with `_` for `-`); flags and environment go before it.",
        )(command)

    return decorate


def _option(key: Key) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    flag = f"--{key.name.replace('_', '-')}"
    if key.flag:
        return click.option(f"{flag}/--no-{flag[2:]}", key.name, default=None, help=key.help)
    default = "" if key.default in (None, "", 0) else f" Default {key.default}."
    return click.option(flag, key.name, type=click.UNPROCESSED, default=None, help=key.help + default)
