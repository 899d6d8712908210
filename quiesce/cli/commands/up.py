"""quiesce up: a whole cluster on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import click
from click.core import ParameterSource

from quiesce.cli.options import DEFAULT_CLUSTER, DEFAULT_COORDINATOR
from quiesce.cli.output import Output
from quiesce.cli.up.layout import Layout, check_addresses, locked, new_layout, read_layout, write_layout
from quiesce.cli.up.processes import Processes, commands
from quiesce.cli.up.readiness import wait_ready
from quiesce.errors import InvalidConfiguration


@click.command(name="up")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default="quiesce-data",
    show_default=True,
    help="The cluster's directory; what is in it is started again.",
)
@click.option("--nodes", type=click.IntRange(1, 7), default=3, show_default=True, help="How many nodes.")
@click.option(
    "--first-port",
    type=click.IntRange(1, 65_525),
    default=7100,
    show_default=True,
    help="The coordinator's port; the nodes' follow it.",
)
@click.option("--repository", metavar="DIR", help="Where snapshots go; otherwise into the cluster's directory.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65_525),
    help="Show metrics: the coordinator at this port, the nodes at those that follow it.",
)
@click.pass_context
def command(
    ctx: click.Context,
    data: Path,
    nodes: int,
    first_port: int,
    repository: str | None,
    host: str,
    metrics_port: int | None,
) -> None:
    """Start a cluster and a coordinator on this machine. Ctrl-C stops all of it.

    A cluster that lies in the directory already, also one that was restored there, is started as it is.
    """
    output = ctx.find_object(Output) or Output()
    directory = data.expanduser().absolute()
    snapshots = str(Path(repository).expanduser().absolute()) if repository else ""
    found = read_layout(directory)
    layout = found or new_layout(directory, host=host, first_port=first_port, nodes=nodes, repository=snapshots)
    if found is not None:
        _check_same(ctx, found)
    if not directory.exists():
        # A port that is taken must leave nothing behind.
        check_addresses(layout)
    with locked(directory):
        check_addresses(layout)
        if found is None:
            write_layout(directory, layout)
        (directory / "logs").mkdir(exist_ok=True)
        asyncio.run(_run(output, directory, layout, metrics_port or 0))


def _check_same(ctx: click.Context, found: Layout) -> None:
    """Refuse options that contradict the cluster in the directory."""
    asked = {name for name in ctx.params if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT}
    port = int(found.coordinator.rpartition(":")[2])
    contradictions = {
        "nodes": (ctx.params["nodes"], len(found.members)),
        "first_port": (ctx.params["first_port"], port),
        "repository": (str(Path(ctx.params["repository"] or "").expanduser().absolute()), found.repository),
        "host": (ctx.params["host"], found.coordinator.rpartition(":")[0]),
    }
    for name, (wanted, there) in contradictions.items():
        if name in asked and wanted != there:
            option = f"--{name.replace('_', '-')}"
            detail = f"{option} {wanted} is not what the cluster in this directory has, {there}; leave the option out"
            raise InvalidConfiguration(detail=detail)


async def _run(output: Output, directory: Path, layout: Layout, metrics_port: int) -> None:
    processes = Processes(commands(directory, layout, metrics_port), directory / "logs", output.message)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop, output, processes)
    output.message(f"Starting {len(layout.members)} nodes and a coordinator in {directory}")
    greeting = asyncio.create_task(_greet(output, processes, directory, layout))
    try:
        await processes.run()
    finally:
        greeting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await greeting
    output.message("All processes have stopped.")


def _stop(output: Output, processes: Processes) -> None:
    output.message("Stopping; once more for at once.")
    processes.stop()


async def _greet(output: Output, processes: Processes, directory: Path, layout: Layout) -> None:
    try:
        leader = await wait_ready(layout)
    except BaseException:
        processes.stop()
        raise
    facts = {
        "cluster_id": layout.cluster_id,
        "members": {str(node_id): address for node_id, address in layout.members.items()},
        "coordinator": layout.coordinator,
        "repository": layout.repository,
        "leader_id": leader,
        "pids": processes.pids,
        "directory": str(directory),
    }
    output.result(facts, _welcome(layout, leader))


def _welcome(layout: Layout, leader: int) -> str:
    nodes = ",".join(layout.members.values())
    lines = ["", f"Cluster {layout.cluster_id} serves; node {leader} leads."]
    lines += [f"  node {node_id}       {address}" for node_id, address in layout.members.items()]
    lines += [f"  coordinator  {layout.coordinator}", f"  snapshots    {layout.repository}", ""]
    lines.append("Next, in another terminal:")
    if nodes != DEFAULT_CLUSTER:
        lines.append(f"  export QUIESCE_CLUSTER={nodes}")
    if layout.coordinator != DEFAULT_COORDINATOR:
        lines.append(f"  export QUIESCE_COORDINATOR={layout.coordinator}")
    lines += [
        "  quiesce nodes",
        "  quiesce import examples/world-3.2.34.json.gz --database world",
        *(["  quiesce backup"] if len(layout.members) > 1 else []),
        "",
        "Ctrl-C here stops all of it.",
    ]
    return "\n".join(lines)
