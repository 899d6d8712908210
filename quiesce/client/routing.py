"""Which node a call goes to: a pure core, told what happened and asked for the next choice.

It knows the members, who the leader was last said to be, and which nodes failed or are out of rotation. Times are
seconds of a monotonic clock, passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random

# A node that failed or is out of rotation is left alone for so long, unless a probe finds it well earlier. Every probe
# that fails begins the time anew; so this is for the case that nobody probes.
BLOCK_S = 15.0


class To(Enum):
    """Who may answer a call."""

    # Any node in rotation.
    SERVING = "serving"
    LEADER = "leader"


# --- events


@dataclass(frozen=True, slots=True)
class MembersSeen:
    """Some node named the members, by id, the leader's id, 0 if it knows of none, and the ids that were removed."""

    members: tuple[tuple[int, str], ...]
    leader_id: int
    removed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Answered:
    """A node answered, were it with an error that the request itself deserves."""

    address: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A node was not reached, or did not answer in time."""

    address: str


@dataclass(frozen=True, slots=True)
class NotTheLeader:
    """A node refused because it does not lead; `leader` is the address it names, or ""."""

    address: str
    leader: str


@dataclass(frozen=True, slots=True)
class NotServing:
    """A node refused because it is out of rotation, or waits to be restored."""

    address: str


Event = MembersSeen | Answered | Failed | NotTheLeader | NotServing


@dataclass(slots=True)
class _Peer:
    failed_until: float = 0.0
    out_until: float = 0.0

    def blocked_until(self, to: To) -> float:
        # A node out of rotation may still lead for a moment, and then takes writes.
        return max(self.failed_until, self.out_until) if to is To.SERVING else self.failed_until


@dataclass(slots=True)
class Routing:
    """Chooses nodes for calls."""

    seeds: Sequence[str]
    random: Random
    leader: str = ""
    # Something that was said does not fit the members that are known: somebody should ask for them.
    doubtful: bool = False
    # Ids are never used again, so this only grows; whoever knows less of it is behind.
    _removed: frozenset[int] = frozenset()
    _peers: dict[str, _Peer] = field(default_factory=dict)
    _addresses: dict[int, str] = field(default_factory=dict)
    _turn: int = 0

    def __post_init__(self) -> None:
        self._peers = {address: _Peer() for address in self.seeds}
        # Many clients that start together should not all begin with the first node.
        self._turn = self.random.randrange(len(self.seeds))

    @property
    def members(self) -> dict[int, str]:
        """The members' addresses by node id; empty until they are known."""
        return dict(self._addresses)

    @property
    def addresses(self) -> list[str]:
        """Every address that calls go to: the members, or the seeds while those are not known."""
        return list(self._peers)

    def blocked(self, now_s: float) -> list[str]:
        """Return the nodes that are left alone at the moment."""
        return [address for address, peer in self._peers.items() if peer.blocked_until(To.SERVING) > now_s]

    def step(self, event: Event, now_s: float) -> None:
        """Take in what happened."""
        match event:
            case MembersSeen(members, leader_id, removed):
                if removed >= self._removed:
                    self._removed = removed
                    self._see_members(members, leader_id)
            case Answered(address):
                if peer := self._peers.get(address):
                    peer.failed_until = 0.0
            case Failed(address):
                if peer := self._peers.get(address):
                    peer.failed_until = now_s + BLOCK_S
                if self.leader == address:
                    self.leader = ""
            case NotTheLeader(address, leader):
                self._follow(address, leader)
            case NotServing(address):
                if peer := self._peers.get(address):
                    peer.failed_until, peer.out_until = 0.0, now_s + BLOCK_S

    def serves(self, address: str) -> None:
        """Take in that a probe found a node in rotation."""
        if address in self._peers:
            self._peers[address] = _Peer()

    def choose(self, to: To, now_s: float, tried: Collection[str] = ()) -> str | None:
        """Return the address to ask, or None when all that are worth asking were `tried` already."""
        leader = self._peers.get(self.leader)
        if to is To.LEADER and leader is not None and leader.failed_until <= now_s:
            return self.leader if self.leader not in tried else None
        candidates = [address for address, peer in self._peers.items() if peer.blocked_until(to) <= now_s]
        if not candidates:
            # Nothing is known to serve: better a doubtful node than none, the one that failed longest ago first.
            candidates = [
                min(self._peers, key=lambda address: (address in tried, self._peers[address].blocked_until(to)))
            ]
        untried = [address for address in candidates if address not in tried]
        if not untried:
            return None
        self._turn += 1
        return untried[self._turn % len(untried)]

    def _see_members(self, members: Iterable[tuple[int, str]], leader_id: int) -> None:
        addresses = {node_id: address for node_id, address in members if address}
        if addresses:
            self._addresses = addresses
            self._peers = {address: self._peers.get(address) or _Peer() for address in addresses.values()}
            self.doubtful = False
        self.leader = self._addresses.get(leader_id, "")

    def _follow(self, address: str, leader: str) -> None:
        if leader != address and leader in self._peers:
            self.leader = leader
            return
        # It may have joined since; only the members themselves are believed.
        self.doubtful = self.doubtful or bool(leader)
        if self.leader == address:
            self.leader = ""
