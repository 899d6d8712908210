"""`quiesce salvage`: what is left of a cluster that lost its majority becomes a new cluster."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nodes.members import parse_address, parse_cluster_id
from quiesce.cli.output import Output, pass_output
from quiesce.errors import InvalidConfiguration, QuiesceError

if TYPE_CHECKING:
    from nodes.salvage import SalvageReport, Survivor
    from quiesce.v1.node_pb2 import NodeStatus


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--data", type=click.Path(path_type=Path), help="New directory, for the node of the new cluster.")
@click.option("--address", metavar="HOST:PORT", help="Where the node will be reached. Default: as before.")
@click.option("--cluster-id", metavar="ID", help="Id of the new cluster. Default: a random one.")
@click.option("--node-id", type=click.IntRange(1), help="Its id in the new cluster. Default: as before.")
@click.option("--dry-run", is_flag=True, help="Only say how far the log in DIRECTORY goes.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_output
def salvage(
    output: Output,
    directory: Path,
    data: Path | None,
    address: str | None,
    cluster_id: str | None,
    node_id: int | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Make a new cluster of one from DIRECTORY, the data of a stopped node whose cluster lost its majority for good.

    Everything in the log is kept, whether a majority had it or not. What never reached this node is lost. DIRECTORY
    stays as it is. Where several nodes are left, salvage the one whose log ends last: compare them with --dry-run.
    """
    from nodes.data_directory import DataDirectory
    from nodes.salvage import identity_of, read_survivor
    from nodes.salvage import salvage as make_new_cluster
    from nodes.salvage.peers import ask_peers

    if (data is None) != dry_run:
        raise click.UsageError("give either --data, the new directory, or --dry-run")
    _check(address, cluster_id)
    old = DataDirectory(directory.expanduser().absolute())
    # Before there is a lock file in somebody's directory.
    identity = identity_of(old.path)
    if cluster_id == identity.cluster_id:
        raise click.UsageError(f"--cluster-id: {cluster_id} is the old cluster's; a new one needs another")
    old.lock()
    try:
        survivor = read_survivor(old.path)
        if data is None:
            output.result(_facts(survivor), _what_it_holds(survivor, old.path))
            return
        if not (address or survivor.address):
            raise click.UsageError("--address: this node was no member any more, so it has none of before")
        answers = ask_peers(identity.cluster_id, survivor.others)
        output.message(_what_it_holds(survivor, old.path))
        for node, answer in answers.items():
            output.message(_of_peer(identity.cluster_id, node, survivor.others[node], answer))
        output.message(_what_will_be(survivor))
        _confirm(yes)
        new = DataDirectory(data.expanduser().absolute())
        new.lock()
        try:
            with output.progress("Salvage", unit="keys") as bar:
                report = make_new_cluster(
                    survivor,
                    new.path,
                    cluster_id=cluster_id or uuid.uuid4().hex,
                    node_id=node_id or identity.node_id,
                    address=address or survivor.address,
                    progress=bar.update,
                )
        finally:
            new.unlock()
        _report(output, survivor, report, new.path)
    finally:
        old.unlock()


def _check(address: str | None, cluster_id: str | None) -> None:
    try:
        if address and parse_address("--address", address).endswith(":0"):
            raise click.UsageError("--address: nobody is reached at port 0")
        if cluster_id:
            parse_cluster_id("--cluster-id", cluster_id)
    except InvalidConfiguration as error:
        raise click.UsageError(error.fields["detail"]) from error


def _confirm(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("this makes another history of the data; pass --yes where nobody can be asked")
    click.confirm("Make the new cluster?", abort=True, err=True)


def _facts(survivor: Survivor) -> dict[str, Any]:
    identity, last = survivor.identity, survivor.last
    return {
        "cluster_id": identity.cluster_id,
        "node_id": identity.node_id,
        "last_term": last.term,
        "last_index": last.index,
        "committed_index": survivor.committed,
        "applied_index": survivor.applied,
        "uncertain_entries": last.index - survivor.committed,
        "uncertain_commands": survivor.uncertain_commands,
    }


def _what_it_holds(survivor: Survivor, directory: Path) -> str:
    identity, last = survivor.identity, survivor.last
    removed = "\nIt was removed from the cluster: what was written since is not here." if identity.removed else ""
    return (
        f"{directory} is node {identity.node_id} of cluster {identity.cluster_id}. "
        f"Its log ends with term {last.term}, index {last.index}.\n"
        f"Committed through index {survivor.committed}, as far as it knows; {survivor.uncertain_commands} commands "
        f"in {last.index - survivor.committed} entries stand behind that, and a majority may or may not have had them."
        f"{removed}"
    )


def _of_peer(cluster_id: str, node: int, address: str, answer: NodeStatus | QuiesceError) -> str:
    if isinstance(answer, QuiesceError):
        return f"Node {node} at {address} does not answer: {answer.fields.get('detail', answer)}."
    if answer.cluster_id != cluster_id:
        return f"At {address}, where node {node} was, cluster {answer.cluster_id or 'of no name yet'} answers."
    return (
        f"Node {node} at {address} answers and has no leader. If it and this node are a majority, start this node "
        f"instead, and nothing is lost."
    )


def _what_will_be(survivor: Survivor) -> str:
    others = ", ".join(map(str, survivor.others))
    lost = f"Nodes {others} may have had writes that are not here" if others else "No other node has had anything"
    return (
        f"All of this log is kept. {lost}; what was acknowledged and never reached this node is lost, and nothing "
        f"here can say how much that is.\nThe new cluster has an id of its own: clients of "
        f"{survivor.identity.cluster_id} are refused, and the directories of its other nodes cannot come back into it."
    )


def _report(output: Output, survivor: Survivor, report: SalvageReport, path: Path) -> None:
    identity = report.identity
    address = identity.members[identity.node_id]
    facts = {
        "cluster_id": identity.cluster_id,
        "node_id": identity.node_id,
        "address": address,
        "data": str(path),
        "index": report.index,
        "term": report.term,
        "salvaged": _facts(survivor),
    }
    text = (
        f"Cluster {identity.cluster_id} has one node, {identity.node_id}, in {path}. Start it:\n"
        f"quiesce node --node-id {identity.node_id} --data {path} --listen {address}"
    )
    output.result(facts, text)
