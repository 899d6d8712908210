"""A policy as it travels."""

from __future__ import annotations

from coordinator.policies.drilling import DrillSpec
from coordinator.policies.model import BackupPolicy, Spec
from coordinator.retention.messages import rules_message, rules_of
from coordinator.schedule import Missed, Overlap
from quiesce.v1 import policy_pb2

_OVERLAP = {
    Overlap.SKIP: policy_pb2.OVERLAP_SKIP,
    Overlap.WAIT: policy_pb2.OVERLAP_WAIT,
    Overlap.CANCEL: policy_pb2.OVERLAP_CANCEL,
}
_MISSED = {Missed.RUN_ONCE: policy_pb2.MISSED_RUN_ONCE, Missed.SKIP: policy_pb2.MISSED_SKIP}


def spec_of(message: policy_pb2.PolicySpec) -> Spec:
    """Return what was asked for, with defaults for what was not said.

    Raises:
        InvalidRequest: a value makes no sense.
    """
    schedule, usual = message.schedule, Spec("usual", every_ms=3_600_000)
    return Spec(
        name=message.name,
        cron=schedule.cron,
        zone=schedule.zone or usual.zone,
        every_ms=schedule.every_ms,
        jitter_ms=schedule.jitter_ms,
        overlap=next((ours for ours, theirs in _OVERLAP.items() if theirs == schedule.overlap), usual.overlap),
        missed=next((ours for ours, theirs in _MISSED.items() if theirs == schedule.missed), usual.missed),
        retries=schedule.retries if schedule.HasField("retries") else usual.retries,
        retry_pause_ms=schedule.retry_pause_ms or usual.retry_pause_ms,
        databases=tuple(message.databases),
        repositories=tuple(message.repositories),
        rate_limit=message.rate_limit,
        lease_ms=message.lease_ms,
        latency_budget_ms=message.latency_budget_ms,
        drill=_drill_of(message.drill.schedule) if message.HasField("drill") else None,
        retention=rules_of(message.retention),
    )


def _drill_of(schedule: policy_pb2.Schedule) -> DrillSpec:
    usual = DrillSpec(every_ms=3_600_000)
    return DrillSpec(
        cron=schedule.cron,
        zone=schedule.zone or usual.zone,
        every_ms=schedule.every_ms,
        jitter_ms=schedule.jitter_ms,
        overlap=next((ours for ours, theirs in _OVERLAP.items() if theirs == schedule.overlap), usual.overlap),
        missed=next((ours for ours, theirs in _MISSED.items() if theirs == schedule.missed), usual.missed),
        retries=schedule.retries,
        retry_pause_ms=schedule.retry_pause_ms or usual.retry_pause_ms,
    )


def _schedule(spec: Spec | DrillSpec) -> policy_pb2.Schedule:
    schedule = policy_pb2.Schedule(
        zone=spec.zone,
        jitter_ms=spec.jitter_ms,
        overlap=_OVERLAP[spec.overlap],
        missed=_MISSED[spec.missed],
        retries=spec.retries,
        retry_pause_ms=spec.retry_pause_ms,
    )
    if spec.cron:
        schedule.cron = spec.cron
    else:
        schedule.every_ms = spec.every_ms
    return schedule


def _drill_message(policy: BackupPolicy, now_ms: int) -> policy_pb2.PolicyDrill | None:
    drills, spec = policy.drills, policy.spec
    if drills is None:
        return None
    return policy_pb2.PolicyDrill(
        running=drills.table.running,
        drill_id=drills.drill_id,
        next_ms=drills.next_ms(spec.drill, spec.name, now_ms, paused=policy.table.paused),
        failures=drills.table.failures,
        last_error=drills.last_error,
    )


def policy_message(policy: BackupPolicy, now_ms: int) -> policy_pb2.Policy:
    """Return a policy as somebody sees it who asks at `now_ms`."""
    spec = policy.spec
    verified_ms = policy.drills.last_verified_ms if policy.drills else 0
    return policy_pb2.Policy(
        spec=policy_pb2.PolicySpec(
            name=spec.name,
            schedule=_schedule(spec),
            databases=spec.databases,
            repositories=spec.repositories,
            rate_limit=spec.rate_limit,
            lease_ms=spec.lease_ms,
            latency_budget_ms=spec.latency_budget_ms,
            drill=policy_pb2.Drill(schedule=_schedule(spec.drill)) if spec.drill else None,
            retention=rules_message(spec.retention),
        ),
        paused=policy.table.paused,
        running=policy.table.running,
        job_id=policy.job_id,
        next_ms=policy.next_ms(now_ms),
        last_success_ms=policy.last_success_ms,
        failures=policy.table.failures,
        alarm=policy.alarm,
        last_error=policy.last_error,
        events=[policy_pb2.PolicyEvent(at_ms=event.at_ms, text=event.text) for event in policy.events],
        last_verified_ms=verified_ms,
        drill=_drill_message(policy, now_ms),
        verified_age_ms=max(0, now_ms - verified_ms) if verified_ms else None,
    )
