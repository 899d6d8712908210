"""quiesce console."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from quiesce.cli.options import cluster_option, coordinator_option
from quiesce.cli.output import Output, pass_output


@click.command(name="console")
@click.argument("file", required=False, default="")
@click.option("-c", "--command", "statements", multiple=True, metavar="STATEMENTS", help="Run these, and end; repeat.")
@click.option("--database", default="", metavar="NAME", help="The database to begin with.")
@cluster_option
@coordinator_option
@pass_output
def command(
    output: Output, file: str, statements: tuple[str, ...], database: str, cluster: str, coordinator: str
) -> None:
    """Speak to a cluster in the words of OrientDB's console.

    With FILE, or with statements on standard input (FILE may be -), run them one after the other, up to the first
    that fails: its exit code is that of the command. Otherwise a prompt: HELP lists the commands, Tab completes, EXIT
    leaves.
    """
    from quiesce.client import Client
    from quiesce.console.scripting import read_script, run_script
    from quiesce.console.session import TIMEOUT_S, Session

    with Client(cluster, timeout_s=TIMEOUT_S) as client:
        session = Session(client, cluster, coordinator)
        if database:
            session.database = client.database(database).name
        if statements:
            run_script(";\n".join(statements), session, output)
        elif file or not sys.stdin.isatty():
            run_script(read_script(None if file in ("", "-") else Path(file)), session, output)
        else:
            from quiesce.console.prompt import run_prompt

            run_prompt(session, output)
