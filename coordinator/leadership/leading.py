"""Runs what only the coordinator that leads may run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from coordinator.leadership.leader import Leadership


async def run_while_leading(
    leadership: Leadership,
    works: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    leave: Callable[[], Awaitable[None]],
) -> None:
    """Begin the works whenever this coordinator leads, and end them when another does; then `leave` what they began.

    Works end by cancellation only. What one of them raises is raised here: a mistake must end the daemon.
    """
    while True:
        await leadership.gained.wait()
        lost = asyncio.create_task(leadership.lost.wait())
        running: list[asyncio.Task[Any]] = [lost, *(asyncio.create_task(work()) for work in works)]
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        await leave()
