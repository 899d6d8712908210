"""The links to all other nodes: they open and close as the membership says. Used on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from nodes.consensus.peer_clocks import PeerClocks
from nodes.consensus.transport import PeerLink
from quiesce.v1.peer_pb2 import Membership

_log = structlog.get_logger(__name__)
# So long a node that was removed is still sent what was on its way: its removal may be among it.
_PARTING_S = 10.0
# Nodes that are answered and not known as members; the oldest makes room.
_MOST_STRANGERS = 8


class Peers:
    """Who the other nodes are, and the way to each.

    `members` are addresses by id, this node's among them; all but its own count until `follow` is told of a membership.
    """

    def __init__(
        self,
        *,
        node_id: int,
        cluster_id: str,
        members: Mapping[int, str],
        most_bytes: int,
        on_lost: Callable[[int], None],
        on_refused: Callable[[int], None],
        clock_ms: Callable[[], int],
        disk_full: Callable[[], bool],
        monotonic: Callable[[], float],
    ) -> None:
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._members = dict(members)
        self._own_address = self._members.get(node_id, "")
        self._most_bytes = most_bytes
        self._on_lost = on_lost
        self._on_refused = on_refused
        self._clock_ms = clock_ms
        self._disk_full = disk_full
        # Nodes that have said that their disk is full.
        self.full: set[int] = set()
        self._clocks = PeerClocks(monotonic)
        self._links: dict[int, PeerLink] = {}
        self._strangers: list[int] = []
        self._running = False
        self._tasks: set[asyncio.Task[None]] = set()
        # Ids that were members and never will be again.
        self.removed: frozenset[int] = frozenset()
        # Members that have a vote; before a membership is known, all.
        self.voters: frozenset[int] = frozenset(members)

    @property
    def addresses(self) -> Mapping[int, str]:
        """Where each member is reached, this node included."""
        return self._members

    def start(self) -> None:
        """Open the links."""
        self._running = True
        self._open_missing()

    async def stop(self) -> None:
        """Close all links."""
        self._running = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(link.stop() for link in self._links.values()))
        self._links.clear()

    def get(self, node: int) -> PeerLink | None:
        """Return the link to a node, if there is one."""
        return self._links.get(node)

    def __getitem__(self, node: int) -> PeerLink:
        """Return the link to a node; raises ConnectionError where there is none."""
        if (link := self._links.get(node)) is None:
            raise ConnectionError(f"node {node} is no member")
        return link

    def follow(self, membership: Membership) -> None:
        """Take over a membership that is applied."""
        before, removed_before = self._members, self.removed
        self._members = {node.node_id: node.address for node in membership.nodes}
        self.removed = frozenset(membership.removed)
        self.voters = frozenset(node.node_id for node in membership.nodes if not node.learner)
        if self._members != before:
            _log.info("members", members=self._members, removed=sorted(self.removed))
        self._strangers = [node for node in self._strangers if node not in self._members]
        for node, link in [*self._links.items()]:
            if node in self.removed - removed_before:
                self._spawn(self._part(node))
            elif self._members.get(node) not in (None, before.get(node), link.address):
                self._close(node)
        self._open_missing()

    def agreed_ms(self) -> int:
        """Return the latest time that the clocks of a majority of the voters have reached; 0 where it is not known."""
        return self._clocks.agreed_ms(self.voters, self._node_id, self._clock_ms())

    def heard_from(self, node: int, address: str, clock_ms: int = 0, *, disk_full: bool = False) -> None:
        """Take the news that a node which was not removed sends, and says that it is at `address`.

        It is answered there if it is not known as a member, and also if it cannot be reached where the membership says:
        this node may be the one that is behind.
        """
        if node in self.voters:
            self._clocks.heard(node, clock_ms)
            (self.full.add if disk_full else self.full.discard)(node)
        if not address or node == self._node_id:
            return
        link = self._links.get(node)
        if link is None:
            self._strangers.append(node)
            if len(self._strangers) > _MOST_STRANGERS:
                self._close(self._strangers.pop(0))
            self._open(node, address)
        elif address not in (link.address, link.other_address):
            link.other_address = address

    def probe(self) -> None:
        """Have every member say whether it takes anything from this node."""
        for link in self._links.values():
            link.probe()

    def _open_missing(self) -> None:
        if self._running:
            for node, address in self._members.items():
                if node != self._node_id and node not in self._links:
                    self._open(node, address)

    def _open(self, node: int, address: str) -> None:
        link = PeerLink(
            node_id=self._node_id,
            peer_id=node,
            address=address,
            cluster_id=self._cluster_id,
            own_address=self._own_address,
            most_bytes=self._most_bytes,
            clock_ms=self._clock_ms,
            disk_full=self._disk_full,
            on_lost=self._on_lost,
            on_refused=self._on_refused,
        )
        self._links[node] = link
        link.start()

    def _close(self, node: int) -> None:
        if (link := self._links.pop(node, None)) is not None:
            self._spawn(link.stop())

    async def _part(self, node: int) -> None:
        await asyncio.sleep(_PARTING_S)
        if (link := self._links.pop(node, None)) is not None:
            await link.stop()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
