"""What a seed means: each draws its own cluster, its own faults and how often they come (swarm testing: what is left
out in one run lets others go deeper; Groce et al., ISSTA 2012)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields

MS = 1000
SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Faults:
    """Each 0 where a run has none of it. Rates are per message, or mean microseconds from one to the next."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    late: float = 0.0
    partition_us: int = 0
    one_way_us: int = 0
    power_us: int = 0
    kill_us: int = 0
    # The power goes at one of the next operations of the disk.
    torn_us: int = 0
    disk_error_us: int = 0
    slow_disk_us: int = 0
    pause_us: int = 0
    transfer_us: int = 0
    clock_jump_us: int = 0
    unreachable_us: int = 0
    priority_us: int = 0
    blackout_us: int = 0
    full_disk_us: int = 0

    def __str__(self) -> str:
        found = [(one.name, getattr(self, one.name)) for one in fields(self)]
        return ", ".join(f"{name}={value:g}" for name, value in found if value) or "none"


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a seed decides before a run begins. Times are microseconds."""

    seed: int
    nodes: int
    tick_us: int
    election_ticks: int
    heartbeat_ticks: int
    # By node: how fast its clock goes.
    rates: tuple[float, ...]
    latency_us: tuple[int, int]
    sync_us: tuple[int, int]
    apply_us: tuple[int, int]
    down_us: int
    segment_bytes: int
    compact_bytes: int
    keep_bytes: int
    entry_commands: int
    entry_bytes: int
    hold_bytes: int
    apply_bytes: int
    memory_bytes: int
    message_bytes: int
    inflight: int
    members_us: int
    clients: int
    pipeline: int
    think_us: int
    patience_us: int
    # Bytes that the records of registers have besides their value.
    padding: int
    registers: int
    accounts: int
    names: int
    weights: dict[str, int] = field(default_factory=dict)
    faults: Faults = Faults()


def plan(seed: int) -> Plan:
    """Return what a seed means."""
    rng = random.Random(seed)
    tick = rng.choice((5, 10, 20)) * MS
    nodes = rng.choice((1, 2, 3, 3, 3, 3, 3, 4, 5, 5))
    skewed = rng.random() < 0.4
    latency = rng.choice((50, 500, 2 * MS, tick // 2))
    segment, compact = rng.choice((400, 1_000, 3_000, 16 << 20)), rng.choice((1_000, 2_000, 4_000, 12_000, 1 << 20))
    entry = rng.choice((1, 2, 3, 8, 1024))
    return Plan(
        seed=seed,
        nodes=nodes,
        tick_us=tick,
        election_ticks=rng.randint(6, 15),
        heartbeat_ticks=rng.randint(1, 3),
        rates=tuple(rng.choice((0.5, 0.8, 1.0, 1.2, 2.0)) if skewed else 1.0 for _ in range(nodes)),
        latency_us=(latency, latency * rng.choice((1, 2, 10))),
        sync_us=rng.choice(((0, 0), (50, 500), (500, 5 * MS), (2 * MS, 2 * tick))),
        apply_us=rng.choice(((0, 100), (0, 100), (100, 2 * MS), (MS, tick * 2))),
        down_us=rng.choice((tick, 10 * tick, 60 * tick)),
        segment_bytes=segment,
        compact_bytes=compact,
        keep_bytes=rng.choice((0, compact // 4, compact // 2)),
        hold_bytes=compact * rng.choice((1, 2, 4)),
        entry_commands=entry,
        entry_bytes=rng.choice((200, 1_000, 1 << 20)),
        apply_bytes=rng.choice((1, 500, 5_000, 16 << 20)),
        memory_bytes=rng.choice((max(30_000, 6 * compact, 2 * segment), 384 << 20)),
        message_bytes=rng.choice((300, 4_096, 1 << 20)),
        inflight=rng.choice((1, 2, 8, 128)),
        members_us=int(tick * rng.choice((20, 60, 200))) if rng.random() < (0.3 if nodes > 2 else 0.8) else 0,
        clients=rng.randint(1, 6),
        pipeline=rng.choice((1, 1, 2, 4)),
        think_us=rng.choice((tick // 4, tick, 5 * tick)),
        patience_us=rng.choice((20 * tick, 60 * tick, 200 * tick)),
        padding=rng.choice((0, 0, 100, 700)),
        registers=rng.choice((1, 3, 6)),
        accounts=rng.choice((2, 4)),
        names=rng.choice((2, 5)),
        weights=_weights(rng),
        faults=_faults(rng, tick),
    )


def _weights(rng: random.Random) -> dict[str, int]:
    kinds = ("update", "compare", "transfer", "create", "delete", "read", "stale", "lookup", "bare", "lease", "swap")
    weights = {kind: rng.choice((0, 1, 3, 8)) for kind in kinds}
    weights["lease"] = rng.choice((0, 0, 1))
    weights["update"] += 1
    weights["read"] += 1
    return weights


def _faults(rng: random.Random, tick: int) -> Faults:
    def rate(most: float) -> float:
        return rng.choice((most / 10, most / 3, most)) if rng.random() < 0.5 else 0.0

    # So that many runs get far between two faults, and some hardly anywhere.
    calm = rng.choice((1, 3, 10))

    def every(ticks: int) -> int:
        return int(tick * ticks * calm * rng.choice((0.3, 1, 3))) if rng.random() < 0.4 else 0

    if rng.random() < 0.03:
        return Faults()
    return Faults(
        drop=rate(0.2),
        duplicate=rate(0.2),
        reorder=rate(0.3),
        late=rate(0.05),
        partition_us=every(60),
        one_way_us=every(60),
        power_us=every(60),
        kill_us=every(60),
        torn_us=every(40),
        disk_error_us=every(100),
        slow_disk_us=every(60),
        pause_us=every(60),
        transfer_us=every(60),
        clock_jump_us=every(60),
        unreachable_us=every(10),
        priority_us=every(100),
        blackout_us=every(200),
        full_disk_us=every(100),
    )
