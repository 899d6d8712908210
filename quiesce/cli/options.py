"""Options and types of values that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from quiesce.cli.output import Output
from quiesce.cli.units import budget_ms, milliseconds, size_bytes

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

DEFAULT_CLUSTER = "127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103"
DEFAULT_COORDINATOR = "127.0.0.1:7100"
# A person waits at the prompt: say soon that nobody answers.
TIMEOUT_S = 5.0


class _Converted(click.ParamType[int]):
    """A value read by a function that raises ValueError."""

    def __init__(self, name: str, read: Callable[[str], int]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


# Values are milliseconds.
DURATION = _Converted("duration", milliseconds)
# What clients may wait; longer than a minute no call takes.
BUDGET = _Converted("duration", budget_ms)
# Values are bytes.
SIZE = _Converted("size", size_bytes)


def _inherited(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Let an option stand before or behind a subcommand's name; the later one counts."""
    key = f"quiesce.{param.name}"
    if ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE or key not in ctx.meta:
        ctx.meta[key] = value
    return str(ctx.meta[key])


def cluster_option(function: Decorated) -> Decorated:
    """Add `--cluster`, passed as `cluster: str`."""
    return click.option(
        "--cluster",
        envvar="QUIESCE_CLUSTER",
        default=DEFAULT_CLUSTER,
        show_default=True,
        show_envvar=True,
        callback=_inherited,
        metavar="HOST:PORT,…",
        help="Some of the cluster's nodes; the others are found.",
    )(function)


def repository_there(repository: str) -> str:
    """Return a repository as the coordinator is told of it; empty: its own.

    It runs elsewhere: a relative path would mean another directory there.
    """
    return str(Path(repository).expanduser().absolute()) if repository else ""


def coordinator_option(function: Decorated) -> Decorated:
    """Add `--coordinator`, passed as `coordinator: str`."""
    return click.option(
        "--coordinator",
        envvar="QUIESCE_COORDINATOR",
        default=DEFAULT_COORDINATOR,
        show_default=True,
        show_envvar=True,
        callback=_inherited,
        metavar="HOST:PORT,…",
        help="The coordinator, or several: the one that leads is found.",
    )(function)


def _set_output(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None and (output := ctx.find_object(Output)) is not None:
        output.json = value == "json"


def output_option() -> click.Option:
    """Return `--output`, which every command has."""
    return click.Option(
        ["--output"],
        type=click.Choice(["text", "json"]),
        expose_value=False,
        is_eager=True,
        callback=_set_output,
        help="text for people, json for one JSON object a line.",
    )
