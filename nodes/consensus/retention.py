"""How far a log may be compacted while others still need it. Pure.

Held without end it would fill the disk; never held, a follower would be overtaken while its checkpoint is on its way,
for ever where the writes do not pause. So it is held, in a bound: for checkpoints under way up to three quarters of it,
for followers that catch up, up to all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nodes.consensus.options import ConsensusOptions


class Retention:
    """Who needs the log from where on."""

    def __init__(self, options: ConsensusOptions) -> None:
        self._options = options
        # The checkpoints that are kept, by index.
        self._checkpoints: set[int] = set()
        # Which checkpoint a follower was sent; and which it has installed, as long as its answer is on its way.
        self._sent: dict[int, int] = {}
        self._installed: dict[int, int] = {}

    def made(self, index: int) -> None:
        """Take the news of a checkpoint."""
        self._checkpoints.add(index)

    def gone(self, index: int) -> None:
        """Take the news that a checkpoint was removed."""
        self._checkpoints.discard(index)

    def sent(self, peer: int, index: int) -> None:
        """Take the news that a checkpoint is on its way to a follower."""
        self._sent[peer] = index

    def arrived(self, peer: int) -> None:
        """Take the news that a follower has installed what it was sent."""
        if (index := self._sent.pop(peer, None)) is not None:
            self._installed[peer] = index

    def limits(self, *, durable: int, first: int, followers: Mapping[int, int]) -> Sequence[tuple[int, int]]:
        """Return pairs of an index up to which entries may go, and of the bytes of log that must be left by it.

        `durable` is what this node does not need any more, `first` the first entry of the log; `followers` are those
        that are heard of, and what they have.
        """
        self._installed = {peer: index for peer, index in self._installed.items() if followers.get(peer, index) < index}
        # Whoever is behind the first entry is not helped by any.
        catching_up = min(
            [durable, *self._installed.values(), *(one for one in followers.values() if one >= first - 1)]
        )
        options = self._options
        return (
            (min([catching_up, *self._checkpoints]), options.keep_bytes),
            (catching_up, options.checkpoint_hold_bytes),
            (durable, options.hold_bytes),
        )

    def passed(self, index: int) -> set[int]:
        """Return the checkpoints that are of no use to anybody where the log is compacted up to `index`."""
        return {one for one in self._checkpoints if one < index}
