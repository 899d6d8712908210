"""What goes into a replica, and what it asks of the world around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from nodes.consensus.barriers import Waiter
from nodes.consensus.interface import CommittedEntry
from nodes.consensus.membership import MembershipProposal
from nodes.consensus.proposals import Proposal
from quiesce.errors import QuiesceError


class PeerMessages(NamedTuple):
    """Messages of one peer, in order; `size` is their bytes."""

    sender: int
    messages: list[bytes]
    size: int


class Reader(NamedTuple):
    """Someone who waits for a read barrier."""

    waiter: Waiter


Event = Proposal | MembershipProposal | PeerMessages | Reader | Callable[[], None]


class Effects(Protocol):
    """What a replica has done outside of its thread. None of these may block."""

    def send(self, messages: list[tuple[int, bytes]]) -> None:
        """Send messages, in order for each peer; any may be lost."""
        ...

    def send_snapshot(self, to: int, index: int, message: bytes) -> None:
        """Send a checkpoint made before; `report_snapshot` must follow."""
        ...

    def make_checkpoint(self) -> None:
        """Make a checkpoint; `checkpoint_made` or `checkpoint_gone` must follow."""
        ...

    def supersede_checkpoint(self, index: int) -> None:
        """Take no more care of a checkpoint, and break off its sending: the log starts behind it."""
        ...

    def refuse(self, proposal_ids: list[int]) -> None:
        """Tell the proposers that nothing of it has happened or will, and that the leader is elsewhere."""
        ...

    def fail(self, proposal_ids: list[int], error: QuiesceError) -> None:
        """Tell the proposers."""
        ...

    def release(self, readers: Sequence[Waiter], index: int) -> None:
        """Tell the readers."""
        ...

    def leader_changed(self) -> None:
        """Say that role, term or leader are others than before."""
        ...

    def probe(self) -> None:
        """Have the peers say whether they take anything from this node."""
        ...

    def discard(self, directory: Path) -> None:
        """Remove a checkpoint that was received."""
        ...


class ApplierPort(Protocol):
    """What a replica asks of the applier."""

    applied: int

    def has_room(self) -> bool:
        """Say whether more may be submitted."""
        ...

    def submit(self, entries: Sequence[CommittedEntry], size: int) -> None:
        """Queue entries that follow those before."""
        ...

    def install(self, directory: Path, done: Callable[[], None]) -> None:
        """Queue a checkpoint to replace the state."""
        ...

    def ask_durable(self, answer: Callable[[int], None]) -> None:
        """Have what is applied brought to the disk."""
        ...

    def wake_when_applied(self, index: int | None) -> None:
        """Ask for a wake as soon as `index` is applied."""
        ...
