"""Finds a cluster's members, and probes nodes that do not serve until they do again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

from quiesce.client import direct
from quiesce.client.attempts import Attempts, ambiguous
from quiesce.client.connections import Connections
from quiesce.client.direct import Metadata
from quiesce.client.routing import Failed, MembersSeen, NotServing, Routing, To
from quiesce.errors import QuiesceError, Unavailable, WrongCluster
from quiesce.v1 import node_pb2

PROBE_TIMEOUT_S = 1.0
# Seconds between probes: a node that is back is soon used again, and many clients do not wear down one that is not.
FIRST_PROBE_S = 0.2
LAST_PROBE_S = 2.0
# A client that makes calls asks at least so often who the members are.
REFRESH_S = 5.0
CLUSTER_KEY = "quiesce-cluster-id"


class Discovery:
    """Asks nodes who the members are, and whether they serve."""

    def __init__(self, routing: Routing, connections: Connections) -> None:
        self._routing = routing
        self._random = routing.random
        self._connections = connections
        self._seeds = list(routing.seeds)
        self._asking: asyncio.Task[QuiesceError | None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._seen_s = 0.0
        self.cluster_id: str | None = None
        # Sent with every call, so that a node of another cluster at the same address refuses it.
        self.metadata: Metadata = ()

    async def ready(self, attempts: Attempts) -> None:
        """Wait until the members are known, for as long as a call has time.

        Raises:
            Unavailable: no node answered.
        """
        while self.cluster_id is None:
            remaining_s = attempts.remaining_s(time.monotonic())
            # One task for all callers: the first calls of many tasks come at once.
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._discover(self._seeds))
            asking = self._asking
            await asyncio.wait({asking}, timeout=remaining_s)
            if not asking.done() or (error := asking.result()) is None:
                continue
            if not (error.retryable or ambiguous(error)):
                raise error
            if isinstance(error, Unavailable):
                error = Unavailable(**{**error.fields, "seconds": f"{attempts.timeout_s:g}"})
            attempts.last = error
            await attempts.pause()

    def keep_up(self) -> None:
        """Ask for the members in the background, where they may have changed since they were last seen.

        Nodes come and go: a client that is used now and then must not find all that it knows gone.
        """
        overdue = time.monotonic() - self._seen_s >= REFRESH_S
        if not (overdue or self._routing.doubtful) or (self._asking is not None and not self._asking.done()):
            return
        # Also where nobody answers: the next call need not try again at once.
        self._seen_s = time.monotonic()
        addresses = self._somebody() if overdue else self._everybody()
        self._asking = asyncio.create_task(self._discover(addresses))

    def watch(self) -> None:
        """Begin to probe the nodes that failed, until none is left."""
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """End the tasks."""
        tasks = [task for task in (self._asking, self._watching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _discover(self, addresses: Iterable[str]) -> QuiesceError | None:
        """Ask all at once and take the first answer: one that hangs must cost nothing. Return why there was none."""
        asked = [asyncio.create_task(self._members(address)) for address in dict.fromkeys(addresses)]
        errors: list[QuiesceError] = []
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    self.take(await answer)
                except QuiesceError as error:
                    errors.append(error)
                else:
                    return None
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return self._nobody(errors)

    def _nobody(self, errors: Sequence[QuiesceError]) -> QuiesceError:
        for error in errors:
            if not ambiguous(error) and not isinstance(error, Unavailable):
                return error
        words = (error.fields.get("detail", "no answer in time").rpartition(": ")[2] for error in errors)
        details = "; ".join(dict.fromkeys(words))
        return Unavailable(addresses=", ".join(self._seeds), seconds=f"{PROBE_TIMEOUT_S:g}", detail=details)

    async def _members(self, address: str) -> node_pb2.MembersResponse:
        return await direct.call(
            self._connections.to(address).node.Members,
            node_pb2.MembersRequest(),
            address=address,
            operation="asking for the members",
            timeout_s=PROBE_TIMEOUT_S,
            metadata=self.metadata,
        )

    def take(self, seen: node_pb2.MembersResponse) -> None:
        """Take in what a node says of the members.

        Raises:
            WrongCluster: it is of another cluster.
        """
        if self.cluster_id is None:
            self.cluster_id = seen.cluster_id
            self.metadata = ((CLUSTER_KEY, seen.cluster_id),)
        elif seen.cluster_id != self.cluster_id:
            raise WrongCluster(actual=seen.cluster_id, expected=self.cluster_id)
        members = tuple((member.node_id, member.address) for member in seen.members)
        self._seen_s = time.monotonic()
        self._routing.step(MembersSeen(members, seen.leader_id, frozenset(seen.removed_node_ids)), self._seen_s)

    async def _watch(self) -> None:
        pause_s, before = FIRST_PROBE_S, frozenset[str]()
        while blocked := frozenset(self._routing.blocked(time.monotonic())):
            pause_s = min(pause_s * 1.5, LAST_PROBE_S) if blocked == before else FIRST_PROBE_S
            before = blocked
            await asyncio.sleep(pause_s * self._random.uniform(0.75, 1.25))
            await asyncio.gather(*map(self._probe, blocked))
            # What does not answer may have been removed.
            await self._discover(self._somebody() if self._routing.leader else self._everybody())

    def _somebody(self) -> list[str]:
        address = self._routing.choose(To.SERVING, time.monotonic())
        return [address] if address else []

    def _everybody(self) -> list[str]:
        return [*self._routing.addresses, *self._seeds]

    async def _probe(self, address: str) -> None:
        try:
            status = await direct.call(
                self._connections.to(address).node.Status,
                node_pb2.StatusRequest(),
                address=address,
                operation="a probe",
                timeout_s=PROBE_TIMEOUT_S,
                metadata=self.metadata,
            )
        except QuiesceError:
            self._routing.step(Failed(address), time.monotonic())
            return
        if status.serving == node_pb2.SERVING_STATE_SERVING:
            self._routing.serves(address)
        else:
            self._routing.step(NotServing(address), time.monotonic())
