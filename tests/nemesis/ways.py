"""The ways in which a client may reach the cluster: the library's, one call to one node, and everything sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Protocol

from quiesce import AsyncClient
from quiesce.errors import QuiesceError
from quiesce.records import RID, Record, encode_key
from quiesce.v1.record_pb2 import Operation, WriteRequest, WriteResponse
from tests.nemesis.outcomes import Failed, Unknown, by_client, by_hand
from tests.nemesis.raw import LINEARIZABLE, Raw
from tests.nemesis.world import World

Found = tuple[dict[RID, Record], int]


class Way(Protocol):
    """Reads return what they found and the log index that they saw, 0 if the way does not tell.

    All raise Failed, Unknown, or the QuiesceError with which the cluster refused.
    """

    async def get(self, database: str, ids: Sequence[RID]) -> Found: ...

    async def lookup(self, database: str, index_name: str, key: Sequence[Any]) -> Found: ...

    async def write(self, database: str, operations: Sequence[Operation]) -> WriteResponse: ...


class BySession:
    """The client library: it finds its way and retries within a session."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def get(self, database: str, ids: Sequence[RID]) -> Found:
        return await by_client(self._client.get(database, ids)), 0

    async def lookup(self, database: str, index_name: str, key: Sequence[Any]) -> Found:
        (matches,) = await by_client(self._client.lookup(database, index_name, [key]))
        return {record.rid: record for record in matches}, 0

    async def write(self, database: str, operations: Sequence[Operation]) -> WriteResponse:
        return await by_client(self._client.write(database, operations))


class ByHand:
    """One call to one node, without a session: reads anywhere, writes mostly where the leader was seen last."""

    def __init__(self, raw: Raw, world: World, random: Random) -> None:
        self.raw = raw
        self._world = world
        self._random = random

    async def get(self, database: str, ids: Sequence[RID]) -> Found:
        answer = await by_hand(self.raw.get(self.raw.any_node(), database, ids, LINEARIZABLE))
        return _by_rid(answer.records), answer.index

    async def lookup(self, database: str, index_name: str, key: Sequence[Any]) -> Found:
        answer = await by_hand(self.raw.lookup(self.raw.any_node(), database, index_name, encode_key(key)))
        return _by_rid(answer.matches[0].records), answer.index

    async def write(self, database: str, operations: Sequence[Operation]) -> WriteResponse:
        return await by_hand(self.raw.write(self.leader(), WriteRequest(database=database, operations=operations)))

    def leader(self) -> int:
        likely = self._world.watch.leader()
        return likely if likely and self._random.random() < 0.8 else self.raw.any_node()


class Twice(ByHand):
    """In a session, but each write goes out several times, to several nodes, also after its answer came.

    Whatever answers come must be the same one.
    """

    _session = 0
    _sequence = 0

    async def write(self, database: str, operations: Sequence[Operation]) -> WriteResponse:
        if not self._session:
            opened = await by_hand(self.raw.open_session(self.leader()))
            self._session, self._sequence = opened.session_id, 0
        self._sequence += 1
        request = WriteRequest(
            database=database,
            operations=operations,
            session_id=self._session,
            sequence=self._sequence,
            acknowledged_through=self._sequence - 1,
        )
        first = asyncio.create_task(self._send(request, self.leader()))
        await asyncio.sleep(self._random.choice([0, 0, 0.005, 0.05]))
        second = asyncio.create_task(self._send(request, self.leader()))
        try:
            answers = [await first, await second]
            if any(isinstance(answer, WriteResponse) for answer in answers) or self._random.random() < 0.3:
                answers.append(await self._send(request, self.leader()))
        finally:
            first.cancel()
            second.cancel()
        return self._one(answers)

    async def _send(self, request: WriteRequest, node: int) -> WriteResponse | Exception:
        try:
            return await by_hand(self.raw.write(node, request))
        except (Failed, Unknown, QuiesceError) as error:
            return error

    def _one(self, answers: Sequence[WriteResponse | Exception]) -> WriteResponse:
        written = [answer for answer in answers if isinstance(answer, WriteResponse)]
        refused = [answer for answer in answers if isinstance(answer, QuiesceError)]
        told = {answer.SerializeToString() for answer in written} | {answer.message() for answer in refused}
        if len(told) > 1:
            self._world.recorder.violate(f"one write of one session, sent several times, was answered {answers}")
        if written:
            self._world.recorder.count("write sent twice", "ok" if len(written) > 1 else "answered once")
            return written[0]
        if refused:
            raise refused[0]
        unknown = [answer for answer in answers if isinstance(answer, Unknown)]
        if unknown:
            # It may come late; the next write of this session says that nobody waits for it.
            raise unknown[0]
        raise answers[0] if isinstance(answers[0], Failed) else AssertionError(answers)


def _by_rid(records: Any) -> dict[RID, Record]:
    return {record.rid: record for record in map(Record.of, records)}


@asynccontextmanager
async def open_way(kind: str, name: str, world: World) -> AsyncIterator[Way]:
    """Open a way of a kind: "session", "hand" or "twice"."""
    if kind == "session":
        async with world.client(name) as client:
            yield BySession(client)
        return
    async with world.raw(name) as raw:
        made = {"hand": ByHand, "twice": Twice}[kind]
        yield made(raw, world, world.random(f"way of {name}"))
