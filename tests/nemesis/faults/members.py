"""Changes of the membership, under load and under other faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from quiesce import AsyncClient
from quiesce.errors import QuiesceError
from tests.nemesis.faults.fault import Fault
from tests.nemesis.faults.processes import choose
from tests.nemesis.field import Field

# With everything healed: the copy of the store, some elections, and the old node's end.
_DONE_WITHIN_S = 120.0
_AGAIN_S = 0.3


class Replace(Fault):
    """A new node is added, gets the log and a vote; then an old one is removed, and must end."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._old = self._new = 0
        self._replacing: asyncio.Task[None] | None = None
        self._last = "nothing was tried"

    async def begin(self, field: Field, rng: Random) -> str:
        (self._old,) = await choose(field, rng, self._who)
        self._new = field.nodes.new()
        self._replacing = asyncio.create_task(self._replace(field))
        return f"replace node {self._old} ({self._who}) by {self._new} at {field.place(self._new)}"

    async def finish(self, field: Field) -> None:
        assert self._replacing is not None
        ended = asyncio.create_task(field.recorder.violated.wait())
        await asyncio.wait({self._replacing, ended}, timeout=_DONE_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if self._replacing.done():
            self._replacing.result()
            return
        self._replacing.cancel()
        # Where the run is over for another reason, this has had no time.
        if not field.recorder.violated.is_set():
            text = f"node {self._old} is not replaced by {self._new} for {_DONE_WITHIN_S:g} s: {self._last}"
            field.recorder.violate(text)

    async def _replace(self, field: Field) -> None:
        addresses = [field.nodes.addresses[node] for node in field.nodes.ids if node != self._new]
        async with AsyncClient(addresses, timeout_s=5, name="members") as client:
            admin = client.admin
            address = field.nodes.addresses[self._new]
            await self._insist("adding", lambda: admin.add_node(self._new, address), field)
            await field.nodes.start([self._new])
            await self._insist("promoting", lambda: admin.promote_node(self._new), field)
            await self._insist("removing", lambda: admin.remove_node(self._old), field)
        self._last = "it is removed and does not end"
        try:
            await field.nodes.left(self._old, _DONE_WITHIN_S)
        except TimeoutError as error:
            field.recorder.violate(str(error))
        field.recorder.note(f"node {self._old} is replaced by {self._new}")

    async def _insist(self, what: str, change: Callable[[], Awaitable[object]], field: Field) -> None:
        """Ask until it is done: what is refused now may be granted when other faults are over."""
        while True:
            try:
                await change()
            except QuiesceError as error:
                self._last = f"{what}: {error.message()}"
                await asyncio.sleep(_AGAIN_S)
            else:
                field.recorder.note(f"members: {what} is done")
                return
