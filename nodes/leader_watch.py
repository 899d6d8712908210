"""Notices that there is no leader, and says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from quiesce.errors import PeersUnreachable

_LOOK_S = 0.1
_SAY_S = 10.0
_log = structlog.get_logger("leader")


async def watch_leader(leader: Callable[[], int], *, members: Callable[[], str], require_within_s: float) -> None:
    """Log every ten seconds that there is no leader; runs until it is cancelled.

    Args:
        leader: returns the id of the leader that is known, 0 for none.
        members: returns how the log names those who should answer.
        require_within_s: give up when none has been seen so many seconds after the start; 0: never.

    Raises:
        PeersUnreachable: it gave up.
    """
    started = said = time.monotonic()
    known, seen = 0, False
    while True:
        now, current = time.monotonic(), leader()
        if current != known:
            known, said = current, now
        seen = seen or current != 0
        if not current and now - said >= _SAY_S:
            said = now
            _log.warning("no leader: fewer than a majority of the nodes reach each other", members=members())
        if not seen and require_within_s and now - started >= require_within_s:
            raise PeersUnreachable(members=members(), seconds=f"{require_within_s:g}")
        await asyncio.sleep(_LOOK_S)
