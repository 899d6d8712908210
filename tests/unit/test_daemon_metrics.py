"""Metrics over real HTTP."""

from __future__ import annotations

import asyncio
import urllib.error

import pytest
from prometheus_client import Metric

from quiesce.daemon import metrics
from quiesce.daemon.metrics import metrics_served, single
from quiesce.errors import AddressInUse
from tests.scenarios.metrics import scrape


async def test_each_scrape_is_answered_anew_from_the_loop() -> None:
    asked = 0

    async def collect() -> list[Metric]:
        nonlocal asked
        asked += 1
        return [single("asked", "How often.", asked)]

    with metrics_served("127.0.0.1:0", collect) as port:
        for count in (1, 2):
            assert await asyncio.to_thread(scrape, f"127.0.0.1:{port}") == {"asked": {"": count}}
        with pytest.raises(AddressInUse), metrics_served(f"127.0.0.1:{port}", collect):
            pass
    with metrics_served("", collect) as port:
        assert port == 0


async def test_a_daemon_that_cannot_tell_fails_the_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_ANSWER_S", 0.1)

    async def never() -> list[Metric]:
        await asyncio.Event().wait()
        return []

    with metrics_served("127.0.0.1:0", never) as port, pytest.raises((urllib.error.HTTPError, OSError)):
        await asyncio.to_thread(scrape, f"127.0.0.1:{port}")
