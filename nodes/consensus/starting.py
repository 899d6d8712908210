"""The core as it is when a node starts: from the log, and from the store where that knows more."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import structlog

from nodes.consensus.interface import StateMachine
from nodes.consensus.log import DurableLog
from nodes.consensus.membership import Configuration, configuration
from nodes.consensus.options import ConsensusOptions
from nodes.consensus.recovery import fit_to_store, recover_log
from quiesce._native import RaftCore

_log = structlog.get_logger(__name__)


class Recovered(NamedTuple):
    """What a node goes on from; `applied` is the index up to which the store has the log's entries."""

    core: RaftCore
    log: DurableLog
    applied: int


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector from looking at a million new entries again and again: none of them is garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def recover(
    node_id: int, directory: Path, state: StateMachine, options: ConsensusOptions, *, priority: int
) -> Recovered:
    """Recover the log in `directory`, and a core that goes on from there. Blocking.

    Raises:
        DamagedLog: the log is not as it was written, or is not that of this store.
        DamagedStore: the store is older than the log can make up for.
        DiskFailed: the disk refused.
    """
    # Not `incoming`: what has arrived of a checkpoint is gone on with.
    options.disk.remove_tree(directory / "outgoing")
    with _uncollected():
        recovered = recover_log(
            directory, disk=options.disk, segment_bytes=options.segment_bytes, new_salt=options.new_salt
        )
    applied = fit_to_store(recovered, state.applied, str(directory.parent))
    log, last = recovered.log, recovered.last
    found = log.state
    # What the log says is as old as the cluster, or as the last checkpoint that was installed.
    configured = Configuration(list(found.voters), list(found.learners))
    if (membership := state.membership) is not None:
        configured = configuration(membership)
    core = RaftCore(
        node_id=node_id,
        applied=applied,
        hard_state=(found.hard_state.term, found.hard_state.vote, found.hard_state.commit),
        voters=configured.voters,
        learners=configured.learners,
        base=(found.base.index, found.base.term),
        entries=[entry.data for entry in recovered.entries],
        election_tick=options.election_ticks,
        heartbeat_tick=options.heartbeat_ticks,
        max_size_per_msg=options.message_bytes,
        max_inflight_msgs=options.inflight_messages,
        priority=priority,
    )
    _log.info("log recovered", applied=applied, first=found.base.index + 1, last=last.index, term=last.term)
    return Recovered(core, log, applied)
