"""From the Raft thread and the applier to the event loop: who waits is told, what is to be sent is sent."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from nodes.consensus.applier import Outcomes
from nodes.consensus.barriers import Waiter
from nodes.consensus.peers import Peers
from nodes.consensus.snapshots import SnapshotSender
from quiesce.errors import QuiesceError
from quiesce.v1.peer_pb2 import Outcome

_IDS = 1 << 64


class WaitingProposals:
    """The callers that wait for the outcome of a proposal. Used on the event loop only."""

    def __init__(self) -> None:
        # An entry of an earlier life of this node, or of another node, must not answer a waiting caller.
        self._ids = itertools.count(secrets.randbits(64))
        self._futures: dict[int, asyncio.Future[Outcome]] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._futures)

    def next_id(self) -> int:
        """Return an id that no proposal in any log has."""
        return next(self._ids) % _IDS

    def add(self, proposal_id: int, size: int) -> asyncio.Future[Outcome]:
        """Note a caller, whose command has `size` bytes."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._futures[proposal_id] = future
        self.size += size
        return future

    def remove(self, proposal_id: int, size: int) -> None:
        """Forget a caller."""
        self._futures.pop(proposal_id, None)
        self.size -= size

    def resolve(self, outcomes: Outcomes) -> None:
        """Tell outcomes to those who wait for them."""
        for proposal_id, outcome in outcomes:
            future = self._futures.get(proposal_id)
            if future is not None and not future.done():
                future.set_result(outcome)

    def fail(self, proposal_ids: Sequence[int], error: QuiesceError) -> None:
        """Tell each of some callers an error of its own, like `error`."""
        for proposal_id in proposal_ids:
            future = self._futures.get(proposal_id)
            if future is not None and not future.done():
                future.set_exception(type(error)(**error.fields))

    def fail_all(self, error: QuiesceError) -> None:
        """Tell every caller an error."""
        self.fail(list(self._futures), error)


class LoopEffects:
    """The effects of a replica (`replica.Effects`), brought to the event loop from any thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        proposals: WaitingProposals,
        peers: Peers,
        snapshots: SnapshotSender,
        on_leader_changed: Callable[[], None],
        elsewhere: Callable[[], QuiesceError],
    ) -> None:
        self._loop = loop
        self._proposals = proposals
        self._peers = peers
        self._snapshots = snapshots
        self._on_leader_changed = on_leader_changed
        self._elsewhere = elsewhere

    def hop(self, call: Callable[..., object], *args: object) -> None:
        """Call on the event loop, unless that has ended."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)

    def resolve(self, outcomes: Outcomes) -> None:
        """Tell outcomes."""
        self.hop(self._proposals.resolve, outcomes)

    def refuse(self, proposal_ids: list[int]) -> None:
        """Tell proposers to go to the leader."""
        self.hop(lambda: self._proposals.fail(proposal_ids, self._elsewhere()))

    def fail(self, proposal_ids: list[int], error: QuiesceError) -> None:
        """Tell proposers an error."""
        self.hop(self._proposals.fail, proposal_ids, error)

    def release(self, readers: Sequence[Waiter], index: int) -> None:
        """Tell readers that `index` is applied."""
        self.hop(_set_all, readers, index)

    def send(self, messages: list[tuple[int, bytes]]) -> None:
        """Send messages."""
        self.hop(self._enqueue, messages)

    def send_snapshot(self, to: int, index: int, message: bytes) -> None:
        """Send a checkpoint."""
        self.hop(self._snapshots.send, to, index, message)

    def make_checkpoint(self) -> None:
        """Make a checkpoint."""
        self.hop(self._snapshots.make)

    def supersede_checkpoint(self, index: int) -> None:
        """Send a checkpoint no more."""
        self.hop(self._snapshots.supersede, index)

    def leader_changed(self) -> None:
        """Spread the news."""
        self.hop(self._on_leader_changed)

    def probe(self) -> None:
        """Have the peers say whether they take anything from this node."""
        self.hop(self._peers.probe)

    def discard(self, directory: Path) -> None:
        """Remove what is left of a checkpoint that was received."""
        self.hop(self._loop.run_in_executor, None, lambda: shutil.rmtree(directory, ignore_errors=True))

    def _enqueue(self, messages: Sequence[tuple[int, bytes]]) -> None:
        for to, message in messages:
            if (link := self._peers.get(to)) is not None:
                link.enqueue(message)


def _set_all(readers: Sequence[Waiter], index: int) -> None:
    for reader in cast("Sequence[asyncio.Future[int]]", readers):
        if not reader.done():
            reader.set_result(index)
