"""Progress from one that works to many who watch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

# A watcher that reads more slowly misses what lies between; never the latest.
BACKLOG = 64


class Feed(Generic[Item]):
    """Hands each item to everyone who follows; who follows later begins with the latest one."""

    def __init__(self) -> None:
        self._latest: list[Item] = []
        self._followers: set[_Follower[Item]] = set()
        self._closed = False

    def publish(self, item: Item) -> None:
        """Hand out an item; never waits."""
        self._latest = [item]
        for follower in self._followers:
            follower.items.append(item)
            follower.wake.set()

    def close(self) -> None:
        """Let everyone who follows come to the end, after the latest item."""
        self._closed = True
        for follower in self._followers:
            follower.wake.set()

    async def follow(self) -> AsyncIterator[Item]:
        """Yield the items from the latest on, until the feed is closed."""
        follower: _Follower[Item] = _Follower(self._latest)
        self._followers.add(follower)
        try:
            while True:
                while follower.items:
                    yield follower.items.popleft()
                if self._closed:
                    return
                follower.wake.clear()
                await follower.wake.wait()
        finally:
            self._followers.discard(follower)


class _Follower(Generic[Item]):
    def __init__(self, items: list[Item]) -> None:
        self.items: deque[Item] = deque(items, maxlen=BACKLOG)
        self.wake = asyncio.Event()
