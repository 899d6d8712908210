"""What a majority of the members' clocks say: one node's clock alone does not move the log's time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection


class PeerClocks:
    """The clocks of the peers, as far as their messages told.

    A message that was long under way makes its sender's clock look late, never early.

    Args:
        monotonic: seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # By how many milliseconds a peer's clock is ahead of the monotonic one here.
        self._ahead: dict[int, int] = {}

    def heard(self, node_id: int, clock_ms: int) -> None:
        """Take in what a peer's clock said when it sent a message; 0 says nothing."""
        if clock_ms:
            self._ahead[node_id] = clock_ms - self._now()

    def agreed_ms(self, voters: Collection[int], own_id: int, own_ms: int) -> int:
        """Return the latest time that the clocks of a majority of `voters` have reached; 0 where too few are known."""
        now = self._now()
        known = [own_ms if node == own_id else now + self._ahead[node] for node in voters if self._says(node, own_id)]
        majority = len(voters) // 2 + 1
        return max(0, sorted(known, reverse=True)[majority - 1]) if len(known) >= majority else 0

    def _says(self, node: int, own_id: int) -> bool:
        return node == own_id or node in self._ahead

    def _now(self) -> int:
        return int(self._monotonic() * 1000)
