"""quiesce policies."""

from __future__ import annotations

from typing import Any

import click

from quiesce.cli.options import BUDGET, DURATION, SIZE, TIMEOUT_S, coordinator_option, repository_there
from quiesce.cli.output import Output, pass_output
from quiesce.cli.retention import keep_options, rules, rules_facts, rules_text
from quiesce.cli.units import milliseconds_text, seconds_text, time_text
from quiesce.client import BlockingPolicies
from quiesce.v1 import policy_pb2
from quiesce.v1.policy_pb2 import Policy

_OVERLAP = {
    "skip": policy_pb2.OVERLAP_SKIP,
    "wait": policy_pb2.OVERLAP_WAIT,
    "cancel": policy_pb2.OVERLAP_CANCEL,
}
_MISSED = {"run-once": policy_pb2.MISSED_RUN_ONCE, "skip": policy_pb2.MISSED_SKIP}


@click.group(name="policies", invoke_without_command=True)
@coordinator_option
@click.pass_context
def command(ctx: click.Context, coordinator: str) -> None:
    """Backups on a schedule. Without a subcommand: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_policies, coordinator=coordinator)


@command.command()
@click.argument("name")
@click.option("--cron", metavar="EXPRESSION", help="When: minute, hour, day, month, weekday, like '30 2 * * *'.")
@click.option("--every", type=DURATION, help="Or how often, like 6h.")
@click.option("--zone", default="UTC", show_default=True, metavar="ZONE", help="Whose clock, like Europe/Berlin.")
@click.option("--jitter", type=DURATION, help="Spread policies of one schedule over so much time.")
@click.option(
    "--overlap",
    type=click.Choice(list(_OVERLAP)),
    default="skip",
    show_default=True,
    help="What a run does that is due while the one before it still goes on.",
)
@click.option(
    "--missed",
    type=click.Choice(list(_MISSED)),
    default="run-once",
    show_default=True,
    help="What to do about runs that were due while no coordinator was there.",
)
@click.option("--retries", type=click.IntRange(0, 20), default=3, show_default=True, help="Attempts after a failure.")
@click.option("--retry-pause", type=DURATION, default="1m", show_default=True, help="Before the first; then doubled.")
@click.option("--database", "databases", multiple=True, metavar="NAME", help="Only this one; may be given again.")
@click.option(
    "--repository",
    "repositories",
    multiple=True,
    metavar="DIR",
    help="Where to; otherwise the coordinator's own. Given again: to each, one after another.",
)
@click.option("--rate-limit", type=SIZE, help="The most bytes read a second, like 50M.")
@click.option("--latency-budget", type=BUDGET, help="What clients may wait, in 99 calls of 100, like 50ms.")
@click.option("--lease", type=DURATION, help="How long the replica may stay out should everything die, like 60s.")
@click.option("--drill-cron", metavar="EXPRESSION", help="When its newest snapshot is restored and checked.")
@click.option("--drill-every", type=DURATION, help="Or how often, like 7d.")
@keep_options
@coordinator_option
@pass_output
def create(
    output: Output,
    /,
    name: str,
    cron: str | None,
    every: int | None,
    zone: str,
    jitter: int | None,
    overlap: str,
    missed: str,
    retries: int,
    retry_pause: int,
    databases: tuple[str, ...],
    repositories: tuple[str, ...],
    rate_limit: int | None,
    latency_budget: int | None,
    lease: int | None,
    drill_cron: str | None,
    drill_every: int | None,
    coordinator: str,
    **keep: int | None,
) -> None:
    """Back up on a schedule: --cron, or --every."""
    if (cron is None) is (every is None):
        raise click.UsageError("a policy needs --cron or --every, one of the two")
    schedule = policy_pb2.Schedule(
        zone=zone,
        jitter_ms=jitter or 0,
        overlap=_OVERLAP[overlap],
        missed=_MISSED[missed],
        retries=retries,
        retry_pause_ms=retry_pause,
    )
    if cron is not None:
        schedule.cron = cron
    else:
        schedule.every_ms = every or 0
    spec = policy_pb2.PolicySpec(
        name=name,
        schedule=schedule,
        databases=databases,
        repositories=[repository_there(one) for one in repositories],
        rate_limit=rate_limit or 0,
        latency_budget_ms=latency_budget or 0,
        lease_ms=lease or 0,
        drill=_drill(drill_cron, drill_every, zone),
        retention=rules(keep),
    )
    with BlockingPolicies(coordinator, timeout_s=TIMEOUT_S) as policies:
        policy = policies.create(spec)
    output.result(policy_facts(policy), f"Policy {name} is there; its next run is due at {time_text(policy.next_ms)}.")


def _drill(cron: str | None, every: int | None, zone: str) -> policy_pb2.Drill | None:
    if cron is not None and every is not None:
        raise click.UsageError("drills need --drill-cron or --drill-every, one of the two")
    if cron is None and every is None:
        return None
    schedule = policy_pb2.Schedule(zone=zone, missed=policy_pb2.MISSED_RUN_ONCE)
    if cron is not None:
        schedule.cron = cron
    else:
        schedule.every_ms = every or 0
    return policy_pb2.Drill(schedule=schedule)


@command.command(name="list")
@coordinator_option
@pass_output
def list_policies(output: Output, coordinator: str) -> None:
    """List the policies by name."""
    with BlockingPolicies(coordinator, timeout_s=TIMEOUT_S) as policies:
        found = policies.list()
    rows = [
        [
            p.spec.name,
            timing_text(p.spec.schedule),
            state_text(p),
            time_text(p.next_ms),
            time_text(p.last_success_ms),
            age_text(p),
        ]
        for p in found
    ]
    columns = ("name", "when", "state", "next run", "last success", "verified")
    output.table(columns, rows, {"policies": [policy_facts(policy) for policy in found]})


@command.command()
@click.argument("name")
@coordinator_option
@pass_output
def show(output: Output, name: str, coordinator: str) -> None:
    """Show one policy with its history."""
    with BlockingPolicies(coordinator, timeout_s=TIMEOUT_S) as policies:
        policy = policies.show(name)
    spec = policy.spec
    lines = [
        f"{name}: {timing_text(spec.schedule)}, {state_text(policy)}",
        f"Databases: {', '.join(spec.databases) or 'all'}",
        f"Repository: {', '.join(spec.repositories) or 'the one of the coordinator'}",
        *([f"Latency budget: {milliseconds_text(spec.latency_budget_ms)}"] if spec.latency_budget_ms else []),
        f"Keeps: {rules_text(spec.retention)}",
        f"Next run: {time_text(policy.next_ms)}",
        f"Last success: {time_text(policy.last_success_ms)}",
        f"Last verified: {verified_text(policy)}",
        f"Drills: {drills_text(policy)}",
        f"Job: {policy.job_id or '-'}",
        *([f"Last error: {policy.last_error}"] if policy.last_error else []),
        *([f"Last drill: {policy.drill.last_error}"] if policy.drill.last_error else []),
        *(f"{time_text(event.at_ms)}  {event.text}" for event in policy.events),
    ]
    output.result(policy_facts(policy), "\n".join(lines))


@command.command()
@click.argument("name")
@coordinator_option
@pass_output
def pause(output: Output, name: str, coordinator: str) -> None:
    """Start no further runs; one under way goes on."""
    with BlockingPolicies(coordinator, timeout_s=TIMEOUT_S) as policies:
        output.result(policy_facts(policies.pause(name)), f"Policy {name} is paused.")


@command.command()
@click.argument("name")
@coordinator_option
@pass_output
def resume(output: Output, name: str, coordinator: str) -> None:
    """Start runs again; what became due meanwhile is not made up for."""
    with BlockingPolicies(coordinator, timeout_s=TIMEOUT_S) as policies:
        policy = policies.resume(name)
    output.result(policy_facts(policy), f"Policy {name} goes on; its next run is due at {time_text(policy.next_ms)}.")


@command.command()
@click.argument("name")
@coordinator_option
@pass_output
def run(output: Output, name: str, coordinator: str) -> None:
    """Start a run now, or after the one under way; see it with `quiesce jobs`."""
    with BlockingPolicies(coordinator, timeout_s=TIMEOUT_S) as policies:
        policy = policies.run(name)
    output.result(policy_facts(policy), f"Policy {name} runs. Follow it with: quiesce jobs watch {policy.job_id}")


@command.command()
@click.argument("name")
@coordinator_option
@pass_output
def delete(output: Output, name: str, coordinator: str) -> None:
    """Forget a policy; its snapshots stay, and a run under way goes on."""
    with BlockingPolicies(coordinator, timeout_s=TIMEOUT_S) as policies:
        policies.delete(name)
    output.result({"name": name, "deleted": True}, f"Policy {name} is deleted.")


@command.command(name="next")
@click.argument("name", default="")
@click.option("--count", type=click.IntRange(1, 1_000), default=10, show_default=True, help="How many.")
@coordinator_option
@pass_output
def next_runs(output: Output, name: str, count: int, coordinator: str) -> None:
    """Tell when the next runs are due, of all policies or of one."""
    with BlockingPolicies(coordinator, timeout_s=TIMEOUT_S) as policies:
        runs = policies.next(name, count=count)
    facts = {"runs": [{"policy": one.policy, "at_ms": one.at_ms} for one in runs]}
    output.table(("at", "policy"), [[time_text(one.at_ms), one.policy] for one in runs], facts)


def timing_text(schedule: policy_pb2.Schedule) -> str:
    """Return `30 2 * * * Europe/Berlin`, or `every 6h`."""
    if schedule.WhichOneof("timing") == "cron":
        return f"{schedule.cron} {schedule.zone}"
    return f"every {milliseconds_text(schedule.every_ms)}"


def age_text(policy: Policy) -> str:
    """Return how long ago a drill has proven a snapshot of a policy."""
    if not policy.HasField("verified_age_ms"):
        return "never"
    return f"{seconds_text(policy.verified_age_ms / 1000)} ago"


def verified_text(policy: Policy) -> str:
    """Return when a drill has proven a snapshot of a policy."""
    return f"{time_text(policy.last_verified_ms)}, {age_text(policy)}" if policy.last_verified_ms else "never"


def drills_text(policy: Policy) -> str:
    """Return when the drills of a policy are due."""
    if not policy.spec.HasField("drill"):
        return "only by hand"
    due = "one is running" if policy.drill.running else f"the next one at {time_text(policy.drill.next_ms)}"
    return f"{timing_text(policy.spec.drill.schedule)}, {due}"


def state_text(policy: Policy) -> str:
    """Return how a policy is, in a word or two."""
    words = [
        "ALARM" if policy.alarm else "",
        "running" if policy.running else "paused" if policy.paused else "",
        f"{policy.failures} failed" if policy.failures else "",
        f"{policy.drill.failures} drills failed" if policy.drill.failures else "",
    ]
    return ", ".join(word for word in words if word) or "waiting"


def policy_facts(policy: Policy) -> dict[str, Any]:
    """Return a policy as JSON has it."""
    spec, schedule = policy.spec, policy.spec.schedule
    return {
        "name": spec.name,
        "cron": schedule.cron or None,
        "zone": schedule.zone,
        "every_ms": schedule.every_ms or None,
        "jitter_ms": schedule.jitter_ms,
        "overlap": next((name for name, value in _OVERLAP.items() if value == schedule.overlap), ""),
        "missed": next((name for name, value in _MISSED.items() if value == schedule.missed), ""),
        "retries": schedule.retries,
        "retry_pause_ms": schedule.retry_pause_ms,
        "databases": list(spec.databases),
        "repositories": list(spec.repositories),
        "rate_limit": spec.rate_limit,
        "latency_budget_ms": spec.latency_budget_ms or None,
        "lease_ms": spec.lease_ms,
        "keep": rules_facts(spec.retention),
        "paused": policy.paused,
        "running": policy.running,
        "job_id": policy.job_id,
        "next_ms": policy.next_ms,
        "last_success_ms": policy.last_success_ms,
        "failures": policy.failures,
        "alarm": policy.alarm,
        "last_error": policy.last_error,
        "last_verified_ms": policy.last_verified_ms,
        "verified_age_s": policy.verified_age_ms / 1000 if policy.HasField("verified_age_ms") else None,
        "drill": _drill_facts(policy),
        "events": [{"at_ms": event.at_ms, "text": event.text} for event in policy.events],
    }


def _drill_facts(policy: Policy) -> dict[str, Any]:
    schedule, drill = policy.spec.drill.schedule, policy.drill
    return {
        "cron": schedule.cron or None,
        "zone": schedule.zone,
        "every_ms": schedule.every_ms or None,
        "running": drill.running,
        "drill_id": drill.drill_id,
        "next_ms": drill.next_ms,
        "failures": drill.failures,
        "last_error": drill.last_error,
    }
