"""Callers that behave badly, in a process of their own: `python -m benchmarks.memory_load CASE SECONDS ADDRESSES`.

They use gRPC without the client library, which would not let them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio

from benchmarks.records import CLASS, DATABASE, body
from quiesce.rpc.limits import ANSWER_BYTES, BATCH_BYTES, MESSAGE_BYTES
from quiesce.v1 import record_pb2, record_pb2_grpc

CONNECTIONS = 8
# Calls under way on one connection: more would only fill this process's own memory.
OUTSTANDING = 1_500
_OPTIONS = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
_LARGE = 1 << 20

answers: Counter[str] = Counter()


def channels(address: str, count: int = CONNECTIONS) -> list[grpc.aio.Channel]:
    return [
        grpc.aio.insecure_channel(address, options=[*_OPTIONS, ("grpc.use_local_subchannel_pool", 1)])
        for _ in range(count)
    ]


def write_request(content: bytes, copies: int = 1) -> record_pb2.WriteRequest:
    record = record_pb2.Create(class_name=CLASS, kind=record_pb2.RECORD_KIND_DOCUMENT, body=content)
    return record_pb2.WriteRequest(database=DATABASE, operations=[record_pb2.Operation(create=record)] * copies)


def note(call: grpc.aio.Call) -> None:
    """Count how a call ended."""

    async def ended() -> None:
        code = await call.code()
        answers[code.name] += 1

    asyncio.ensure_future(ended())  # noqa: RUF006 - it ends with its call


async def writes(address: str, seconds: float, *, outstanding: int, request: Callable[[int], bytes]) -> None:
    """Send writes and never wait for one of them, but for room in this process."""
    end = time.monotonic() + seconds
    numbers = itertools.count()

    async def connection(channel: grpc.aio.Channel) -> None:
        open_calls = 0
        # Bytes as they are, so that one encoding serves many calls.
        call_write: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/quiesce.v1.Records/Write")

        def done(_: object) -> None:
            nonlocal open_calls
            open_calls -= 1

        while time.monotonic() < end:
            for _ in range(50):
                if open_calls < outstanding:
                    open_calls += 1
                    call = call_write(request(next(numbers)), timeout=30)
                    call.add_done_callback(done)
                    note(call)
            await asyncio.sleep(0.001 if open_calls < outstanding else 0.01)

    await asyncio.gather(*map(connection, channels(address)))


async def many_writes(address: str, seconds: float) -> None:
    # Of 8 KiB, so that caches and the log are full, and the log compacted, within the warm-up.
    text = b'","more":"' + b"x" * 8_192 + b'"}'
    await writes(
        address,
        seconds,
        outstanding=OUTSTANDING,
        request=lambda n: write_request(body(n).removesuffix(b'"}') + text).SerializeToString(),
    )


async def big_batches(address: str, seconds: float) -> None:
    # Bodies of 16 MiB together, the most that a batch may have.
    content = b'{"@class":"%s","text":"%s"}' % (CLASS.encode(), b"x" * (BATCH_BYTES // 16 - 100))
    encoded = write_request(content, 16).SerializeToString()
    await writes(address, seconds, outstanding=8, request=lambda _: encoded)


async def unread_scans(address: str, seconds: float) -> None:
    """Open scans, and read none."""
    end = time.monotonic() + seconds
    opened = []
    while time.monotonic() < end:
        for channel in channels(address):
            for _ in range(20):
                call = record_pb2_grpc.RecordsStub(channel).Scan(
                    record_pb2.ScanRequest(database=DATABASE, whole_database=True)
                )
                opened.append(call)
                note(call)
        await asyncio.sleep(max(0.5, seconds / 10))


async def unread_answers(address: str, seconds: float) -> None:
    """Ask for large answers, then stop in one's tracks with the connections open."""
    ids = [record_pb2.RecordId(cluster=6, position=n) for n in range(ANSWER_BYTES // _LARGE - 1)]
    request = record_pb2.GetRequest(database=DATABASE, ids=ids)
    for channel in channels(address):
        for _ in range(50):
            note(record_pb2_grpc.RecordsStub(channel).Get(request))
    # The requests have to leave first.
    await asyncio.sleep(0.3)
    os.kill(os.getpid(), signal.SIGSTOP)
    await asyncio.sleep(seconds)


CASES: dict[str, Callable[[str, float], Awaitable[None]]] = {
    "many_writes": many_writes,
    "big_batches": big_batches,
    "unread_scans": unread_scans,
    "unread_answers": unread_answers,
}


async def main(case: str, seconds: float, addresses: list[str]) -> None:
    await asyncio.gather(*(CASES[case](address, seconds) for address in addresses))
    print(dict(answers), flush=True)
    # The calls that are open end with the process.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), sys.argv[3].split(",")))
