"""quiesce orientdb: what can be done with export files without a cluster."""

from __future__ import annotations

import click

from quiesce.cli.commands.orientdb.diff import diff
from quiesce.cli.commands.orientdb.inspect import inspect


@click.group(name="orientdb")
def command() -> None:
    """Look into files in OrientDB's export format, and compare them. No cluster is needed."""


command.add_command(inspect)
command.add_command(diff)
