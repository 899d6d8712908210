"""quiesce snapshots delete, pin, unpin, why, prune and collect."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import Any, TypeVar

import click

from quiesce.cli.options import DURATION, coordinator_option
from quiesce.cli.output import Output, pass_output
from quiesce.cli.retention import decision_facts
from quiesce.cli.units import amount, time_text
from quiesce.client import BlockingRetention
from quiesce.errors import UnknownSnapshot
from quiesce.repository import open_repository
from quiesce.repository.collection import GRACE_MS, collect
from quiesce.repository.pins import clock_ms, exists, pin, unpin
from quiesce.repository.removal import keep_enough, remove_snapshot

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def source_options(function: Decorated) -> Decorated:
    """Add `--repository` and `--coordinator`, passed as `repository: str | None` and `coordinator: str`."""
    function = click.option(
        "--repository",
        metavar="DIR",
        help="Use this repository itself; no cluster and no coordinator is needed.",
    )(function)
    return coordinator_option(function)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


@click.command()
@click.argument("snapshot_id")
@click.option("--force", is_flag=True, help="Also the last whole one of its policy, or one that cannot be read.")
@source_options
@pass_output
def delete(output: Output, snapshot_id: str, force: bool, repository: str | None, coordinator: str) -> None:
    """Remove a snapshot; a pinned one never. Its room is free after the grace time."""
    if repository is not None:
        opened = open_repository(repository)
        if not exists(opened, snapshot_id):
            raise UnknownSnapshot(snapshot_id=snapshot_id, repository=opened.location)
        if not force:
            opened.read_manifest(snapshot_id)
        remove_snapshot(opened, snapshot_id, (lambda _: None) if force else keep_enough(opened), now_ms=clock_ms())
    else:
        with BlockingRetention(coordinator) as retention:
            retention.delete(snapshot_id, force=force)
    output.result({"id": snapshot_id, "deleted": True}, f"Snapshot {snapshot_id} is deleted.")


@click.command(name="pin")
@click.argument("snapshot_id")
@click.option("--reason", required=True, help="Why; who comes later reads it.")
@source_options
@pass_output
def pin_command(output: Output, snapshot_id: str, reason: str, repository: str | None, coordinator: str) -> None:
    """Keep a snapshot until it is unpinned; `latest` is the newest."""
    if repository is not None:
        opened = open_repository(repository)
        found = opened.find(snapshot_id).snapshot_id
        pin(opened, found, reason, by=_user(), now_ms=clock_ms())
    else:
        with BlockingRetention(coordinator) as retention:
            found = retention.pin(snapshot_id, reason, by=_user())
    output.result({"id": found, "pinned": True, "reason": reason}, f"Snapshot {found} is pinned: {reason}")


@click.command(name="unpin")
@click.argument("snapshot_id")
@source_options
@pass_output
def unpin_command(output: Output, snapshot_id: str, repository: str | None, coordinator: str) -> None:
    """Let a snapshot go by the rules again; a restore that runs still holds it."""
    if repository is not None:
        count = unpin(open_repository(repository), snapshot_id)
    else:
        with BlockingRetention(coordinator) as retention:
            count = retention.unpin(snapshot_id)
    text = f"Snapshot {snapshot_id} is no longer pinned." if count else f"Snapshot {snapshot_id} was not pinned."
    output.result({"id": snapshot_id, "pins": count}, text)


@click.command()
@click.argument("snapshot_id")
@coordinator_option
@pass_output
def why(output: Output, snapshot_id: str, coordinator: str) -> None:
    """Say why a snapshot is kept, or goes; `latest` is the newest."""
    with BlockingRetention(coordinator) as retention:
        found = retention.why(snapshot_id)
    decision = found.decision
    head = f"Snapshot {decision.snapshot_id} {'stays' if decision.keep else 'goes'}:"
    lines = [head, *(f"  {reason}" for reason in decision.reasons)]
    output.result({**decision_facts(decision), "policy": found.policy}, "\n".join(lines))


@click.command()
@click.option("--policy", "policies", multiple=True, required=True, metavar="NAME", help="May be given again.")
@click.option("--dry-run", is_flag=True, help="Only say what would go, and why.")
@coordinator_option
@pass_output
def prune(output: Output, policies: tuple[str, ...], dry_run: bool, coordinator: str) -> None:
    """Remove the snapshots that a policy's rules let go, now rather than after its next run."""
    facts, rows = [], []
    with BlockingRetention(coordinator) as retention:
        for policy in policies:
            refused: dict[str, str] = {}
            if dry_run:
                decisions = list(retention.plan(policy))
            else:
                applied = retention.apply(policy)
                decisions = list(applied.decisions)
                refused = {one.snapshot_id: one.why for one in applied.refused}
            for decision in decisions:
                what = "keep" if decision.keep else "would go" if dry_run else "gone"
                reason = "; ".join(decision.reasons)
                if decision.snapshot_id in refused:
                    what, reason = "stays", refused[decision.snapshot_id]
                rows.append([decision.snapshot_id, time_text(decision.at_ms), policy, what, reason])
                facts.append({**decision_facts(decision), "policy": policy, "outcome": what, "why": reason})
    output.table(("id", "mark", "policy", "what", "why"), rows, {"dry_run": dry_run, "snapshots": facts})


@click.command(name="collect")
@click.option("--grace", type=DURATION, help="Remove what has been listed for so long; 24h, or the coordinator's.")
@click.option("--dry-run", is_flag=True, help="Only say how much there is.")
@source_options
@pass_output
def collect_command(output: Output, grace: int | None, dry_run: bool, repository: str | None, coordinator: str) -> None:
    """Free the room of objects that no snapshot has needed for the grace time."""
    if repository is not None:
        here = collect(
            open_repository(repository),
            clock_ms(),
            grace_ms=GRACE_MS if grace is None else grace,
            dry_run=dry_run,
        )
        removed, superseded = len(here.removed), here.superseded
        sizes = here.removed_bytes, here.waiting, here.waiting_bytes
    else:
        with BlockingRetention(coordinator) as retention:
            there = retention.collect(dry_run=dry_run, grace_ms=grace)
        removed, superseded = there.removed, there.superseded
        sizes = there.removed_bytes, there.waiting, there.waiting_bytes
    freed, waiting, waiting_bytes = sizes
    facts = {
        "removed": removed,
        "removed_bytes": freed,
        "waiting": waiting,
        "waiting_bytes": waiting_bytes,
        "superseded": superseded,
        "dry_run": dry_run,
    }
    verb = "would be removed" if dry_run else "removed"
    text = (
        f"{removed:,} objects {verb}, {amount(freed, binary=True)}; "
        f"{waiting:,} wait for their time, {amount(waiting_bytes, binary=True)}."
    )
    output.result(facts, "Another collection is under way; it does this one's work." if superseded else text)


COMMANDS = (delete, pin_command, unpin_command, why, prune, collect_command)
