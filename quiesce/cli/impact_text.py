"""What a backup cost clients, in words and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quiesce.cli.units import amount
from quiesce.v1.latency_pb2 import ClientImpact, ClientWait


def impact_facts(impact: ClientImpact) -> dict[str, Any]:
    """Return it as the manifest of a snapshot has it too."""
    return {
        "budget_ms": impact.budget_ms,
        "before": _wait_facts(impact.before) if impact.HasField("before") else None,
        "during": _wait_facts(impact.during) if impact.HasField("during") else None,
        "over_budget_ms": impact.over_budget_ms,
        "least_rate": impact.least_rate,
        "most_rate": impact.most_rate,
        "last_rate": impact.last_rate,
    }


def impact_lines(facts: Mapping[str, Any] | None) -> dict[str, str]:
    """Return lines by their names; of what is not known there is none."""
    if not facts:
        return {}
    lines = {}
    if facts.get("before"):
        lines["before"] = _wait_text(facts["before"])
    if facts.get("during"):
        lines["clients"] = _wait_text(facts["during"])
    if facts.get("budget_ms"):
        over_s = facts["over_budget_ms"] / 1000
        least, most = (f"{amount(facts[name], binary=True)}/s" for name in ("least_rate", "most_rate"))
        lines["budget"] = f"{facts['budget_ms']} ms; longer for {over_s:g} s; read at {least} to {most}"
    return lines


def _wait_facts(wait: ClientWait) -> dict[str, Any]:
    return {
        "seconds": wait.seconds,
        "reads": {"calls": wait.reads, "p50_us": wait.reads_p50_us, "p99_us": wait.reads_p99_us},
        "writes": {"calls": wait.writes, "p50_us": wait.writes_p50_us, "p99_us": wait.writes_p99_us},
    }


def _wait_text(wait: Mapping[str, Any]) -> str:
    parts = [
        f"{kind} {wait[kind]['p50_us'] / 1000:.3g} ms, p99 {wait[kind]['p99_us'] / 1000:.3g} ms"
        for kind in ("reads", "writes")
        if wait[kind]["calls"]
    ]
    return f"{'; '.join(parts) or 'no calls'} (in {wait['seconds']} s)"
