"""The product's own bounds, made so small in some runs that what happens at them happens often."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from nodes.consensus import applier
from nodes.statemachine import replicated_state, sessions

_OURS: list[tuple[ModuleType, str, tuple[int, ...]]] = [
    # Together they may be reached; each small value is one at which a run still gets somewhere.
    (sessions, "MAX_SESSIONS", (2, 4)),
    (sessions, "MAX_OUTCOMES", (2, 5)),
    (sessions, "OUTCOMES", (3, 10)),
    (sessions, "OUTCOMES_BYTES", (200, 1_000)),
    (replicated_state, "FLUSH_BYTES", (1, 300)),
    (replicated_state, "FLUSH_INDEX_BYTES", (1, 60)),
    (replicated_state, "SYNC_ENTRIES", (1, 20)),
    (applier, "_MERGED_BYTES", (0, 300)),
]
_AS_THEY_ARE = {(module, name): getattr(module, name) for module, name, _ in _OURS}


@contextmanager
def bounds_of(seed: int) -> Iterator[dict[str, int]]:
    """Set the bounds for a run, and give those that are not as in the daemon; afterwards all are as they were."""
    rng = random.Random(f"{seed} bounds")
    few = rng.random() < 0.5
    changed = {}
    for module, name, values in _OURS:
        value = rng.choice(values)
        if few and rng.random() < 0.4:
            setattr(module, name, value)
            changed[name] = value
    try:
        yield changed
    finally:
        for module, name, _ in _OURS:
            setattr(module, name, _AS_THEY_ARE[module, name])
