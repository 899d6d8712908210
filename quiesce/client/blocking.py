"""Blocking twins of the asynchronous clients, over an event loop in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar

from quiesce.client.admin import Admin
from quiesce.client.backups import Backups
from quiesce.client.calls import ATTEMPT_TIMEOUT_S
from quiesce.client.client import AsyncClient
from quiesce.client.drills import Drills
from quiesce.client.policies import Policies
from quiesce.client.retention import Retention


class _Closes(Protocol):
    async def close(self) -> None: ...


Twin = TypeVar("Twin")
Closing = TypeVar("Closing", bound=_Closes)
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class LoopThread:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="quiesce-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the loop and wait for it."""
        if not self._thread.is_alive():
            work.close()
            raise RuntimeError("the client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C in the waiting thread must not leave the call running.
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop and its thread."""
        if self._thread.is_alive():
            self.run(self._loop.shutdown_asyncgens())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()


class Blocking(Generic[Twin]):
    """What all blocking twins have: the asynchronous one, and the loop it lives in."""

    def __init__(self, loop: LoopThread, twin: Twin) -> None:
        self._thread = loop
        self._twin = twin


def waits(
    method: Callable[Concatenate[Twin, Parameters], Awaitable[Result]],
) -> Callable[Concatenate[Blocking[Twin], Parameters], Result]:
    """Return the blocking form of an asynchronous method."""

    def blocking(self: Blocking[Twin], /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        async def run() -> Result:
            return await method(self._twin, *args, **kwargs)

        return self._thread.run(run())

    blocking.__name__, blocking.__doc__ = method.__name__, method.__doc__
    return blocking


def iterates(
    method: Callable[Concatenate[Twin, Parameters], AsyncIterator[Result]],
) -> Callable[Concatenate[Blocking[Twin], Parameters], Iterator[Result]]:
    """Return the blocking form of a method that streams."""

    def blocking(self: Blocking[Twin], /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Iterator[Result]:
        stream = method(self._twin, *args, **kwargs)

        async def step() -> Result:
            return await anext(stream)

        async def end() -> None:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

        try:
            while True:
                try:
                    item = self._thread.run(step())
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if self._thread.alive:
                self._thread.run(end())

    blocking.__name__, blocking.__doc__ = method.__name__, method.__doc__
    return blocking


class Owner(Blocking[Closing]):
    """A twin that has a loop of its own and ends it; a context manager."""

    def __init__(self, make: Callable[[], Closing]) -> None:
        """Make the asynchronous one, in its loop."""
        loop = LoopThread()
        try:
            twin = loop.run(_made(make))
        except BaseException:
            loop.close()
            raise
        super().__init__(loop, twin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cut what still runs, and the connections."""
        if self._thread.alive:
            self._thread.run(self._twin.close())
            self._thread.close()


class BlockingAdmin(Blocking[Admin]):
    """What operators ask of nodes; reached as `Client.admin`. See Admin."""

    members = waits(Admin.members)
    status = waits(Admin.status)
    statuses = waits(Admin.statuses)
    add_node = waits(Admin.add_node)
    promote_node = waits(Admin.promote_node)
    remove_node = waits(Admin.remove_node)
    change_node_address = waits(Admin.change_node_address)
    drain = waits(Admin.drain)
    renew_drain = waits(Admin.renew_drain)
    move_drain = waits(Admin.move_drain)
    take_over_drain = waits(Admin.take_over_drain)
    undrain = waits(Admin.undrain)
    prepare_mark = waits(Admin.prepare_mark)
    checkpoint = waits(Admin.checkpoint)
    take_snapshot = iterates(Admin.take_snapshot)
    attest = iterates(Admin.attest)
    drop_checkpoint = waits(Admin.drop_checkpoint)
    client_latency = waits(Admin.client_latency)
    set_worker_rate = waits(Admin.set_worker_rate)
    transfer_leadership = waits(Admin.transfer_leadership)
    restore_node = iterates(Admin.restore_node)


class Client(Owner[AsyncClient]):
    """The blocking client of a cluster; many threads may use one. See AsyncClient."""

    def __init__(
        self,
        addresses: str | Sequence[str],
        *,
        timeout_s: float = 10.0,
        attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
        name: str = "",
    ) -> None:
        """Make a client; see AsyncClient."""
        super().__init__(
            lambda: AsyncClient(addresses, timeout_s=timeout_s, attempt_timeout_s=attempt_timeout_s, name=name)
        )
        self.admin = BlockingAdmin(self._thread, self._twin.admin)

    @property
    def cluster_id(self) -> str | None:
        """The cluster this client talks to, once it has talked to it."""
        return self._twin.cluster_id

    get = waits(AsyncClient.get)
    write = waits(AsyncClient.write)
    scan = iterates(AsyncClient.scan)
    lookup = waits(AsyncClient.lookup)
    scan_index = iterates(AsyncClient.scan_index)
    create_database = waits(AsyncClient.create_database)
    drop_database = waits(AsyncClient.drop_database)
    list_databases = waits(AsyncClient.list_databases)
    database = waits(AsyncClient.database)
    alter_schema = waits(AsyncClient.alter_schema)
    publish_database = waits(AsyncClient.publish_database)


class BlockingBackups(Owner[Backups]):
    """The blocking client of a coordinator. See Backups."""

    def __init__(self, addresses: str, *, timeout_s: float = 10.0, idle_s: float = 180.0) -> None:
        """Make a client; see Backups."""
        super().__init__(lambda: Backups(addresses, timeout_s=timeout_s, idle_s=idle_s))

    create = iterates(Backups.create)
    preview = waits(Backups.preview)
    watch = iterates(Backups.watch)
    cancel = waits(Backups.cancel)
    show_job = waits(Backups.show_job)
    jobs = waits(Backups.jobs)
    list = waits(Backups.list)
    show = waits(Backups.show)
    verify = iterates(Backups.verify)
    restore = iterates(Backups.restore)


class BlockingPolicies(Owner[Policies]):
    """The blocking client of a coordinator's policies. See Policies."""

    def __init__(self, addresses: str, *, timeout_s: float = 10.0) -> None:
        """Make a client; see Policies."""
        super().__init__(lambda: Policies(addresses, timeout_s=timeout_s))

    create = waits(Policies.create)
    list = waits(Policies.list)
    show = waits(Policies.show)
    pause = waits(Policies.pause)
    resume = waits(Policies.resume)
    run = waits(Policies.run)
    delete = waits(Policies.delete)
    next = waits(Policies.next)


class BlockingDrills(Owner[Drills]):
    """The blocking client of a coordinator's drills. See Drills."""

    def __init__(self, addresses: str, *, timeout_s: float = 10.0, idle_s: float = 180.0) -> None:
        """Make a client; see Drills."""
        super().__init__(lambda: Drills(addresses, timeout_s=timeout_s, idle_s=idle_s))

    run = iterates(Drills.run)
    list = waits(Drills.list)


class BlockingRetention(Owner[Retention]):
    """The blocking client of a coordinator for what is kept. See Retention."""

    def __init__(self, addresses: str, *, timeout_s: float = 60.0) -> None:
        """Make a client; see Retention."""
        super().__init__(lambda: Retention(addresses, timeout_s=timeout_s))

    plan = waits(Retention.plan)
    apply = waits(Retention.apply)
    why = waits(Retention.why)
    delete = waits(Retention.delete)
    pin = waits(Retention.pin)
    unpin = waits(Retention.unpin)
    collect = waits(Retention.collect)


async def _made(make: Callable[[], Result]) -> Result:
    """Make a client inside its loop, as gRPC binds a channel to the loop it is made in."""
    return make()
