"""quiesce drills."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click

from quiesce.cli.options import TIMEOUT_S, coordinator_option, repository_there
from quiesce.cli.output import Output, Progress, pass_output
from quiesce.cli.units import amount, seconds_text, time_text
from quiesce.client import BlockingDrills
from quiesce.v1.drill_pb2 import DrillOutcome, DrillProgress, DrillReport

_TITLES = {"restore": ("Restore", "pages"), "check": ("Check", "entries")}


@click.group(name="drills", invoke_without_command=True)
@coordinator_option
@click.pass_context
def command(ctx: click.Context, coordinator: str) -> None:
    """Restore snapshots into a throw-away node, and check them. Without a subcommand: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_drills, coordinator=coordinator)


@command.command()
@click.argument("snapshot_id", metavar="SNAPSHOT", default="")
@click.option("--policy", default="", metavar="NAME", help="Its newest snapshot; the outcome counts for it.")
@click.option("--repository", default="", metavar="DIR", help="Where it lies; otherwise the coordinator's own.")
@coordinator_option
@pass_output
def run(output: Output, snapshot_id: str, policy: str, repository: str, coordinator: str) -> None:
    """Restore SNAPSHOT, or the newest one, into a throw-away node on the coordinator's machine, and check it.

    It is restored, the node serves and counts its records, is stopped, and its directory is examined: indexes against
    records, and the content id against the snapshot's. Then nothing is left of it. Ctrl-C leaves the drill running.
    """
    if policy and (snapshot_id or repository):
        raise click.UsageError("give a policy, or a snapshot; not both")
    report, follower = DrillReport(), _Follower(output)
    with BlockingDrills(coordinator, timeout_s=TIMEOUT_S) as drills, ExitStack() as stack:
        answers = drills.run(
            snapshot_id,
            repository=repository_there(repository),
            policy=policy,
        )
        try:
            for answer in answers:
                report = answer.drill
                follower.show(answer, stack)
        except KeyboardInterrupt:
            if report.id:
                output.message(f"The drill goes on. See it with: quiesce drills, as {report.id}")
            raise
    output.result(drill_facts(report), _text(report))


@command.command(name="list")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="How many.")
@coordinator_option
@pass_output
def list_drills(output: Output, coordinator: str, limit: int = 20) -> None:
    """List the drills, the latest first."""
    with BlockingDrills(coordinator, timeout_s=TIMEOUT_S) as drills:
        found = drills.list(limit=limit)
    rows = [
        [one.id, time_text(one.started_ms), one.snapshot_id, outcome_text(one), _took(one), f"{one.records:,}",
         one.error_message]
        for one in found
    ]  # fmt: skip
    columns = ("id", "started", "snapshot", "outcome", ">took", ">records", "why")
    output.table(columns, rows, {"drills": [drill_facts(one) for one in found]})


def outcome_name(drill: DrillReport) -> str:
    """Return `running`, `verified`, `failed` or `interrupted`."""
    return DrillOutcome.Name(drill.outcome).removeprefix("DRILL_OUTCOME_").lower()


def outcome_text(drill: DrillReport) -> str:
    """Return what a drill has come to, or what it is doing."""
    name = outcome_name(drill)
    return f"{name}: {drill.step}" if name == "running" else name


def drill_facts(drill: DrillReport) -> dict[str, Any]:
    """Return a drill as JSON has it."""
    facts: dict[str, Any] = {
        "id": drill.id,
        "outcome": outcome_name(drill),
        "step": drill.step,
        "repository": drill.repository,
        "snapshot_id": drill.snapshot_id,
        "policy": drill.policy,
        "started_ms": drill.started_ms,
        "ended_ms": drill.ended_ms,
        "parts_ms": {part.step: part.took_ms for part in drill.parts},
        "records": drill.records,
        "bytes_raw": drill.bytes_raw,
        "index_entries": drill.index_entries,
        "links": drill.links,
        "dangling_links": drill.dangling_links,
    }
    if drill.error_reason:
        facts["error"] = {"reason": drill.error_reason, "message": drill.error_message}
    return facts


def _took(drill: DrillReport) -> str:
    return _seconds(drill.ended_ms - drill.started_ms) if drill.ended_ms else "-"


def _seconds(milliseconds: int) -> str:
    return seconds_text(milliseconds / 1000) if milliseconds >= 60_000 else f"{milliseconds / 1000:.1f} s"


def _text(drill: DrillReport) -> str:
    lines = {
        "Snapshot": f"{drill.snapshot_id}, in {drill.repository}",
        "Verified": f"{time_text(drill.ended_ms)}, in {_took(drill)}",
        "Took": ", ".join(f"{part.step} {_seconds(part.took_ms)}" for part in drill.parts),
        "Records": f"{drill.records:,} and {drill.index_entries:,} index entries, "
        f"{amount(drill.bytes_raw, binary=True)}",
        "Links": f"{drill.links:,} to records, {drill.dangling_links:,} to none, as in the cluster",
    }
    return "\n".join(f"{name + ':':<12}{value}" for name, value in lines.items())


class _Follower:
    """Says each step once, and draws a bar for those that count."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._step = ""
        self._bars: dict[str, Progress] = {}

    def show(self, answer: DrillProgress, stack: ExitStack) -> None:
        drill = answer.drill
        if drill.step != self._step:
            stack.close()
            self._bars.clear()
            if not self._step:
                self._output.message(f"Drill {drill.id}", drill_id=drill.id)
            self._step = drill.step
            self._output.message(f"  {drill.step}", drill_id=drill.id, step=drill.step, snapshot_id=drill.snapshot_id)
        if answer.done and drill.step in _TITLES:
            title, unit = _TITLES[drill.step]
            if drill.step not in self._bars:
                self._bars[drill.step] = stack.enter_context(self._output.progress(title, unit=unit))
            self._bars[drill.step].update(answer.done, answer.total or None)
