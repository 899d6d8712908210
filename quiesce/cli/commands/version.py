"""quiesce version."""

from __future__ import annotations

import platform
from importlib.metadata import version

import click

from quiesce.cli.output import Output, pass_output


@click.command(name="version")
@pass_output
def command(output: Output) -> None:
    """Show the version of Quiesce and of what it runs on."""
    facts = {
        "quiesce": version("quiesce"),
        "python": platform.python_version(),
        "grpcio": version("grpcio"),
        "rocksdict": version("rocksdict"),
        "platform": platform.platform(),
    }
    output.result(facts, "\n".join(f"{name} {value}" for name, value in facts.items()))
