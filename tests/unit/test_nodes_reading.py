"""Reads of records: small ones where the call is, large ones in a thread, and the view is closed in the end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from nodes.service import large_answers, records
from nodes.service.records import RecordsService
from nodes.service.scanning import stream
from quiesce.errors import AnswerTooLarge, Overloaded, ScanStalled
from quiesce.rpc.limits import ANSWER_BYTES, LARGE_ANSWERS

MAIN = threading.get_ident()


class View:
    closed = 0

    def close(self) -> None:
        self.closed += 1


class Calls:
    def overloaded(self, waiting: int) -> Overloaded:
        return Overloaded(node_id=1, waiting=waiting, retry_ms=100)


class Context:
    def __init__(self) -> None:
        self.callbacks: list[Callable[[Any], None]] = []

    async def write(self, _: object) -> None:
        await asyncio.sleep(60)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self.callbacks.append(callback)

    def done(self) -> None:
        for callback in self.callbacks:
            callback(self)


def reader(size: int, seen: list[bool]) -> Callable[[Any, Any, int], int]:
    def read(view: View, _: object, most_bytes: int) -> int:
        assert not view.closed
        seen.append(threading.get_ident() == MAIN)
        if size > most_bytes:
            raise AnswerTooLarge(records=1, limit=most_bytes)
        return size

    return read


@pytest.mark.parametrize(
    ("size", "inline", "where"),
    [
        (10, True, [True]),
        (records._INLINE_BYTES + 1, True, [True, False]),
        (10, False, [False]),
    ],
)
async def test_where_it_reads(size: int, inline: bool, where: list[bool]) -> None:
    view, seen = View(), []  # type: ignore[var-annotated]
    with ThreadPoolExecutor(1) as threads:
        service = RecordsService(Calls(), None, None, threads, scan_stall_s=1.0)  # type: ignore[arg-type]
        assert await service._read(Context(), view, reader(size, seen), None, inline=inline) == size  # type: ignore[arg-type]
    assert seen == where
    assert view.closed == 1


async def test_what_is_too_large_for_a_message_is_an_error() -> None:
    view = View()
    with ThreadPoolExecutor(1) as threads:
        service = RecordsService(Calls(), None, None, threads, scan_stall_s=1.0)  # type: ignore[arg-type]
        with pytest.raises(AnswerTooLarge) as caught:
            await service._read(Context(), view, reader(ANSWER_BYTES + 1, []), None, inline=True)  # type: ignore[arg-type]
    assert caught.value.fields["limit"] == str(ANSWER_BYTES)
    assert view.closed == 1


async def test_a_read_that_was_given_up_before_it_began_closes_its_view() -> None:
    view, free = View(), threading.Event()
    with ThreadPoolExecutor(1) as threads:
        threads.submit(free.wait, 10)
        service = RecordsService(Calls(), None, None, threads, scan_stall_s=1.0)  # type: ignore[arg-type]
        reading = asyncio.ensure_future(service._read(Context(), view, reader(1, []), None, inline=False))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert view.closed == 1
        free.set()


async def test_a_few_large_answers_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_answers, "PATIENCE_S", 0.05)
    contexts = [Context() for _ in range(LARGE_ANSWERS + 1)]
    with ThreadPoolExecutor(1) as threads:
        service = RecordsService(Calls(), None, None, threads, scan_stall_s=1.0)  # type: ignore[arg-type]

        async def read(context: Context) -> int:
            view = View()
            try:
                return await service._read(context, view, reader(1, []), None, inline=False)  # type: ignore[arg-type]
            finally:
                assert view.closed == 1

        for context in contexts[:-1]:
            await read(context)
        with pytest.raises(Overloaded):
            await read(contexts[-1])
        # Room again when an answer has left, not when it was made.
        contexts[0].done()
        await read(contexts[-1])


async def test_a_scan_that_nobody_reads_is_ended() -> None:
    view = View()
    with ThreadPoolExecutor(2) as threads, pytest.raises(ScanStalled):
        await stream(Context(), view, iter(range(5)), threads, 0.02)  # type: ignore[arg-type]
    assert view.closed == 1
