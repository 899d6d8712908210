"""Looks at what is due, again and again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from quiesce.errors import QuiesceError


async def keep_looking(
    look: Callable[[], Awaitable[float]],
    awake: asyncio.Event,
    *,
    again_s: float,
    failed: Callable[[QuiesceError], object],
) -> None:
    """Look, and once more after as many seconds as `look` says, or when `awake` is set; ends only by cancellation.

    Where it raises, `failed` is told, and it is tried again after `again_s` seconds.
    """
    while True:
        awake.clear()
        try:
            wait_s = await look()
        except QuiesceError as error:
            failed(error)
            wait_s = again_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await awake.wait()
