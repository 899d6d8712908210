"""Rules of retention as options, in words and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from quiesce.cli.options import DURATION
from quiesce.cli.units import milliseconds_text
from quiesce.v1.policy_pb2 import RetentionRules
from quiesce.v1.retention_pb2 import RetentionDecision

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")
_NAMES = ("last", *_PERIODS, "within", "at_least")


def keep_options(function: Decorated) -> Decorated:
    """Add `--keep-last`, `--keep-daily` and so on, passed as `keep_last: int | None`, ..."""
    count = click.IntRange(min=1)
    function = click.option("--keep-at-least", type=count, help="So many stay whatever the others say; 1 always does.")(
        function
    )
    function = click.option("--keep-within", type=DURATION, help="Keep all that are younger, like 48h.")(function)
    for period in reversed(_PERIODS):
        text = f"Keep the last snapshot of so many {_unit(period)} that have one."
        function = click.option(f"--keep-{period}", type=count, help=text)(function)
    text = "Keep so many, the newest. With no --keep-… all stay."
    return click.option("--keep-last", type=count, help=text)(function)


def _unit(period: str) -> str:
    return {"daily": "days"}.get(period, period.removesuffix("ly") + "s")


def rules(given: dict[str, int | None]) -> RetentionRules:
    """Return the rules that options make, as `keep_options` passes them.

    Raises:
        click.UsageError: --keep-at-least stands alone, and nothing would ever go.
    """
    found = {name: given.get(f"keep_{name}") or 0 for name in _NAMES}
    if found["at_least"] and not any(value for name, value in found.items() if name != "at_least"):
        raise click.UsageError("--keep-at-least says what stays whatever other rules say: give one of those as well")
    return RetentionRules(
        keep_last=found["last"],
        within_ms=found["within"],
        minimum=found["at_least"],
        **{period: found[period] for period in _PERIODS},
    )


def rules_text(message: RetentionRules) -> str:
    """Return `last 7, daily 30`, or `everything`."""
    parts = [f"last {message.keep_last}"] if message.keep_last else []
    parts += [f"{period} {getattr(message, period)}" for period in _PERIODS if getattr(message, period)]
    if message.within_ms:
        parts.append(f"within {milliseconds_text(message.within_ms)}")
    if parts and message.minimum > 1:
        parts.append(f"at least {message.minimum}")
    return ", ".join(parts) or "everything"


def rules_facts(message: RetentionRules) -> dict[str, int]:
    """Return rules as JSON has them."""
    return {
        "last": message.keep_last,
        **{period: getattr(message, period) for period in _PERIODS},
        "within_ms": message.within_ms,
        "at_least": message.minimum,
    }


def decision_facts(decision: RetentionDecision) -> dict[str, Any]:
    """Return a decision as JSON has it."""
    return {
        "id": decision.snapshot_id,
        "at_ms": decision.at_ms,
        "keep": decision.keep,
        "reasons": list(decision.reasons),
    }
