"""Checkpoints for followers that are too far behind: made, sent, kept while they may be resumed. On the event loop."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import NamedTuple

import structlog

from nodes.consensus.checkpoint_transfer import transfer
from nodes.consensus.interface import CheckpointMade, StateMachine
from nodes.consensus.options import ConsensusOptions
from nodes.consensus.outgoing import Checkpoint, CheckpointMaker
from nodes.consensus.transport import PeerLink
from nodes.rate_limit import RateLimit
from quiesce.errors import DamagedStore

_log = structlog.get_logger(__name__)
_PAUSE_AFTER_FAILURE_S = 2.0


class _Sending(NamedTuple):
    checkpoint: int
    task: asyncio.Task[None]


class SnapshotSender:
    """Makes checkpoints below `directory` and sends them.

    A checkpoint is kept until it has been installed, until the log no longer reaches back to it (`supersede`), or until
    nobody has used it for `checkpoint_keep_s`: so a follower that comes back goes on where it was.
    """

    def __init__(
        self,
        *,
        node_id: int,
        cluster_id: str,
        directory: Path,
        state: StateMachine,
        links: Callable[[int], PeerLink],
        options: ConsensusOptions,
        on_made: Callable[[CheckpointMade], None],
        on_gone: Callable[[int | None], None],
        on_sent: Callable[[int, bool], None],
    ) -> None:
        self._node_id = node_id
        self._cluster_id = cluster_id
        self._links = links
        self._options = options
        self._on_made = on_made
        self._on_gone = on_gone
        self._on_sent = on_sent
        self._maker = CheckpointMaker(state, directory, lambda: secrets.token_hex(16))
        # Of them all together.
        self._rate = RateLimit(options.checkpoint_rate, options.monotonic)
        self._slots = asyncio.Semaphore(options.checkpoint_transfers)
        self._checkpoints: dict[int, Checkpoint] = {}
        # The last one that the log no longer reaches: kept until the next is made, to see what they have in common.
        self._superseded: Checkpoint | None = None
        self._sending: dict[int, _Sending] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def make(self) -> None:
        """Make a checkpoint of the state as it is now."""
        self._spawn(self._make())

    def send(self, to: int, index: int, message: bytes) -> None:
        """Send the checkpoint of `index` to a peer, with the message that goes with it, and nothing else meanwhile."""
        if (before := self._sending.pop(to, None)) is not None:
            before.task.cancel()
        self._sending[to] = _Sending(index, self._spawn(self._send(to, index, message)))

    def supersede(self, index: int) -> None:
        """Break off the sending of a checkpoint that the log does not reach back to any more."""
        checkpoint = self._checkpoints.pop(index, None)
        if checkpoint is None:
            return
        _log.info("checkpoint superseded", index=index, checkpoint=checkpoint.checkpoint_id)
        self._replace_superseded(checkpoint)
        for sending in self._sending.values():
            if sending.checkpoint == index:
                sending.task.cancel()

    def break_off(self) -> None:
        """Send nothing any more: this node does not lead."""
        for sending in self._sending.values():
            sending.task.cancel()

    async def stop(self) -> None:
        """Break off what runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _make(self) -> None:
        before = max(self._checkpoints.values(), key=lambda one: one.index, default=self._superseded)
        began = self._options.monotonic()
        try:
            made = await asyncio.to_thread(self._maker.make, before)
        except Exception as error:  # noqa: BLE001 - whatever the store raises, the follower has to wait
            if isinstance(error, DamagedStore):
                self._options.on_fatal(error)
            _log.error("no checkpoint could be made for a follower", error=str(error))
            # Not at once again: the follower asks with every heartbeat.
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
            self._on_gone(None)
            return
        milliseconds = round((self._options.monotonic() - began) * 1000)
        _log.info(
            "checkpoint made",
            index=made.index,
            id=made.checkpoint_id,
            bytes=made.total_bytes,
            milliseconds=milliseconds,
        )
        if made.index in self._checkpoints:
            self._spawn(asyncio.to_thread(made.remove))
        else:
            self._checkpoints[made.index] = made
            self._replace_superseded(None)
            self._spawn(self._expire(made))
        self._on_made(made.made)

    async def _send(self, to: int, index: int, message: bytes) -> None:
        arrived = False
        try:
            if (checkpoint := self._checkpoints.get(index)) is not None:
                arrived = await self._attempt(to, checkpoint, message)
        finally:
            # Else another attempt has taken the place of this one.
            if to in self._sending and self._sending[to].task is asyncio.current_task():
                del self._sending[to]
                self._on_sent(to, arrived)
        if arrived and checkpoint is not None and not checkpoint.users:
            await self._forget(checkpoint)

    async def _attempt(self, to: int, checkpoint: Checkpoint, message: bytes) -> bool:
        checkpoint.users += 1
        try:
            async with self._slots:
                arrived = await transfer(
                    lambda: self._links(to).channel,
                    sender=self._node_id,
                    to=to,
                    cluster_id=self._cluster_id,
                    checkpoint=checkpoint,
                    message=message,
                    rate=self._rate,
                    options=self._options,
                )
            if not arrived:
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)
            return arrived
        finally:
            checkpoint.users -= 1
            checkpoint.used_at = self._options.monotonic()

    async def _expire(self, checkpoint: Checkpoint) -> None:
        """Remove a checkpoint when nobody has used it for long."""
        checkpoint.used_at = self._options.monotonic()
        keep_s = self._options.checkpoint_keep_s
        left_s = keep_s
        while left_s > 0 or checkpoint.users:
            await asyncio.sleep(max(left_s, 1.0))
            left_s = checkpoint.used_at + keep_s - self._options.monotonic()
        await self._forget(checkpoint)

    async def _forget(self, checkpoint: Checkpoint) -> None:
        if self._checkpoints.get(checkpoint.index) is checkpoint:
            del self._checkpoints[checkpoint.index]
            self._on_gone(checkpoint.index)
        if self._superseded is checkpoint:
            self._superseded = None
        await asyncio.to_thread(checkpoint.remove)

    def _replace_superseded(self, by: Checkpoint | None) -> None:
        before, self._superseded = self._superseded, by
        if before is not None:
            self._spawn(asyncio.to_thread(before.remove))
