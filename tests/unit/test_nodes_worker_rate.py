"""A worker's rate, changed while it runs: from the lease's holder down to the limit in the worker."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from nodes.rate_limit import RateLimit
from nodes.rotation.held import Held
from nodes.service.worker_process import SNAPSHOT, WorkerProcess
from nodes.service.worker_rate import WorkerRate
from nodes.worker.orders import Orders, order
from quiesce.errors import LeaseLost, SnapshotWorkerFailed
from quiesce.v1.latency_pb2 import SetWorkerRateRequest


class Slept:
    """A clock that only sleeping moves; `at` calls something at a time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at: dict[float, Any] = {}

    def sleep(self, seconds: float) -> None:
        due = [moment for moment in self.at if moment <= self.now + seconds]
        self.now = min(due) if due else self.now + seconds
        if due:
            self.at.pop(self.now)()


def test_who_waits_when_the_rate_changes_waits_as_long_as_by_the_new_one() -> None:
    clock = Slept()
    limit = RateLimit(1_000, clock=lambda: clock.now, sleep=clock.sleep)
    clock.at[10.0] = lambda: limit.change(10_000)
    limit.take(100_000)
    # 10 s at 1,000 a second, and the 90,000 that are left at ten times that.
    assert clock.now == pytest.approx(19.0)
    clock.at[clock.now + 1] = lambda: limit.change(1_000)
    limit.take(20_000)
    assert clock.now == pytest.approx(19.0 + 1 + 10)
    clock.at[clock.now + 1] = lambda: limit.change(0)
    limit.take(10**9)
    assert clock.now == pytest.approx(31.0)
    limit.take(10**12)
    limit.change(1_000)
    limit.change(1_000)
    limit.take(5_000)
    assert clock.now == pytest.approx(36.0, abs=0.3)


def test_a_thread_that_waits_hears_of_it_at_once() -> None:
    limit = RateLimit(1)
    ended = threading.Event()
    waiting = threading.Thread(target=lambda: (limit.take(10**9), ended.set()), daemon=True)
    waiting.start()
    assert not ended.wait(0.05)
    limit.change(10**12)
    assert ended.wait(20), "it would have waited for thirty years"


def test_orders_come_in_pieces_and_nonsense_is_passed_over() -> None:
    heard: list[int] = []
    orders = Orders(heard.append)
    text = order(5) + order(7) + b"nonsense\n[1]\n{}\n" + b'{"rate_limit": "8"}\n{"rate_limit": -1}\n' + order(9)
    for first in range(0, len(text), 3):
        orders.feed(text[first : first + 3])
    assert heard == [5, 7, 9]
    orders.feed(b"x" * 10**6)
    assert len(orders._begun) <= 1_000


class Told:
    def __init__(self, *, deaf: bool = False) -> None:
        self.rates: list[int] = []
        self.deaf = deaf

    def change_rate(self, rate: int) -> bool:
        if not self.deaf:
            self.rates.append(rate)
        return not self.deaf


def request(epoch: int, rate: int, fence: int = 0) -> SetWorkerRateRequest:
    return SetWorkerRateRequest(epoch=epoch, fence=fence, rate_limit=rate)


async def test_only_the_lease_s_holder_sets_the_rate_and_what_it_said_holds_for_later_workers() -> None:
    lease: list[Held | None] = [Held(7, 7)]
    rate = WorkerRate(lambda: lease[0])
    first: Any = Told()
    async with rate.told(7, first):
        assert first.rates == []
        assert [rate.change(request(7, 100)), rate.change(request(7, 100, fence=7))] == [1, 1]
        for wrong in (request(6, 5), request(7, 5, fence=8)):
            with pytest.raises(LeaseLost):
                rate.change(wrong)
    assert first.rates == [100, 100]
    # It has gone: that is no error.
    assert rate.change(request(7, 200)) == 0
    second: Any = Told()
    async with rate.told(7, second):
        assert second.rates == [200]
        # Another coordinator goes on with the lease.
        lease[0] = Held(7, 9)
        with pytest.raises(LeaseLost):
            rate.change(request(7, 1))
        assert rate.change(request(7, 300, fence=9)) == 1
    lease[0] = Held(8, 8)
    third: Any = Told()
    async with rate.told(8, third):
        pass
    assert third.rates == [], "what was said under another lease is not for this one"
    lease[0] = None
    with pytest.raises(LeaseLost):
        rate.change(request(8, 1))


async def test_what_was_said_by_the_coordinator_before_is_not_for_the_next_one_s_worker() -> None:
    lease = [Held(7, 7)]
    rate = WorkerRate(lambda: lease[0])
    rate.change(request(7, 100))
    lease[0] = Held(7, 9)
    worker: Any = Told()
    async with rate.told(7, worker):
        assert worker.rates == []


async def test_a_worker_that_is_gone_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.service.worker_process.sys.executable", "/bin/sleep")
    # It knows nothing of a module to run, and ends.
    worker = await WorkerProcess.start(2, [], SNAPSHOT)
    await worker._process.wait()
    assert not worker.change_rate(5)


async def test_what_a_worker_does_not_read_does_not_pile_up() -> None:
    process = await asyncio.create_subprocess_exec(
        "sleep", "60", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    worker = WorkerProcess(2, process, SNAPSHOT)
    try:
        told = [worker.change_rate(number) for number in range(50_000)]
        assert told[0]
        assert not told[-1]
        assert process.stdin is not None
        assert process.stdin.transport.get_write_buffer_size() < 1_000
    finally:
        began = time.monotonic()
        worker.kill(SnapshotWorkerFailed(node_id=2, code=-1, detail="the test has ended"))
        await worker.ended()
        assert time.monotonic() - began < 60
