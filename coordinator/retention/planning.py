"""Which snapshots stay, which go, and why each. Pure: it decides, and removes nothing.

What is not known to be of no use stays: a snapshot is removed only where every rule, pin and promise lets it go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coordinator.retention.rules import Rules


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot as retention sees it. Times are Unix milliseconds of its mark; `verified_ms` 0: never."""

    snapshot_id: str
    at_ms: int
    verified_ms: int = 0
    # Whether all its objects are there; what is not whole keeps no promise.
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a snapshot stays, and every reason for it; where it goes, the one reason why."""

    snapshot_id: str
    at_ms: int
    keep: bool
    reasons: tuple[str, ...]


def plan(snapshots: Sequence[Kept], rules: Rules, pins: Mapping[str, str], now_ms: int) -> list[Decision]:
    """Decide on the snapshots of one policy in one repository, the newest first.

    Args:
        snapshots: all that there are, in any order.
        rules: what to keep.
        pins: reason by id of what somebody keeps, or a restore reads.
        now_ms: Unix milliseconds.
    """
    newest_first = sorted(snapshots, key=lambda one: (one.at_ms, one.snapshot_id), reverse=True)
    reasons: dict[str, list[str]] = {one.snapshot_id: [] for one in newest_first}
    for one in newest_first:
        if (pin := pins.get(one.snapshot_id)) is not None:
            reasons[one.snapshot_id].append(f"pinned: {pin}")
    if rules.keeps_all:
        for one in newest_first:
            reasons[one.snapshot_id].append("the policy has no rule that lets snapshots go")
    for one in newest_first:
        if not one.whole:
            reasons[one.snapshot_id].append("it is not whole and counts for no rule: delete it by hand, once looked at")
    usable = [one for one in newest_first if one.whole]
    _by_rules(usable, rules, now_ms, reasons)
    _never_less(usable, rules, reasons)
    return [
        Decision(one.snapshot_id, one.at_ms, bool(why), tuple(why) or ("no rule of the policy keeps it",))
        for one, why in ((one, reasons[one.snapshot_id]) for one in newest_first)
    ]


def _by_rules(newest_first: Sequence[Kept], rules: Rules, now_ms: int, reasons: dict[str, list[str]]) -> None:
    for number, one in enumerate(newest_first[: rules.last], 1):
        reasons[one.snapshot_id].append(f"last {number} of {rules.last}")
    for one in newest_first:
        # Also what is from the future: a clock was wrong, and nobody knows which.
        if rules.within_ms and one.at_ms > now_ms - rules.within_ms:
            reasons[one.snapshot_id].append("within the time that everything is kept")
    for name, count, period_of in rules.periods():
        seen: set[tuple[int, ...]] = set()
        for one in newest_first:
            period = period_of(rules.local(one.at_ms))
            if period in seen:
                continue
            if len(seen) == count:
                break
            seen.add(period)
            reasons[one.snapshot_id].append(f"{name} {len(seen)} of {count}")


def _never_less(newest_first: Sequence[Kept], rules: Rules, reasons: dict[str, list[str]]) -> None:
    for one in newest_first[: rules.minimum]:
        if not reasons[one.snapshot_id]:
            reasons[one.snapshot_id].append(f"one of the {rules.minimum} that are always kept")
    # A snapshot that was restored and checked is worth more than newer ones that were not.
    proven = next((one for one in newest_first if one.verified_ms), None)
    if proven is not None and not reasons[proven.snapshot_id]:
        reasons[proven.snapshot_id].append("the newest that a drill has verified")
