"""Rules and decisions as they travel."""

from __future__ import annotations

from coordinator.retention.planning import Decision
from coordinator.retention.rules import Rules
from quiesce.v1.policy_pb2 import RetentionRules
from quiesce.v1.retention_pb2 import RetentionDecision


def rules_of(message: RetentionRules) -> Rules:
    """Return the rules in a message."""
    return Rules(
        last=message.keep_last,
        hourly=message.hourly,
        daily=message.daily,
        weekly=message.weekly,
        monthly=message.monthly,
        yearly=message.yearly,
        within_ms=message.within_ms,
        minimum=message.minimum or 1,
    )


def rules_message(rules: Rules) -> RetentionRules:
    """Return rules as a message."""
    return RetentionRules(
        keep_last=rules.last,
        hourly=rules.hourly,
        daily=rules.daily,
        weekly=rules.weekly,
        monthly=rules.monthly,
        yearly=rules.yearly,
        within_ms=rules.within_ms,
        minimum=rules.minimum,
    )


def decision_message(decision: Decision) -> RetentionDecision:
    """Return a decision as a message."""
    return RetentionDecision(
        snapshot_id=decision.snapshot_id, at_ms=decision.at_ms, keep=decision.keep, reasons=decision.reasons
    )
