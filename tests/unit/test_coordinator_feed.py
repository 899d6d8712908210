"""Progress for many watchers."""

from __future__ import annotations

import asyncio

from coordinator.feed import BACKLOG, Feed


async def collect(feed: Feed[int]) -> list[int]:
    return [item async for item in feed.follow()]


async def test_everyone_sees_the_last_item_and_the_end() -> None:
    feed: Feed[int] = Feed()
    feed.publish(-1)
    early = [asyncio.create_task(collect(feed)) for _ in range(2)]
    await asyncio.sleep(0)
    # Far more than is kept, before anyone reads.
    for item in range(BACKLOG * 3):
        feed.publish(item)
    feed.close()
    for seen in [await task for task in early] + [await collect(feed)]:
        assert seen[-1] == BACKLOG * 3 - 1
        assert seen == sorted(seen)
        assert len(seen) <= BACKLOG + 1


async def test_who_leaves_is_forgotten() -> None:
    feed: Feed[int] = Feed()
    feed.publish(1)
    following = feed.follow()
    assert await anext(following) == 1
    await following.aclose()  # type: ignore[attr-defined]
    assert not feed._followers
