"""Runs the children that a Supervisor watches over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from quiesce.cli.up.layout import Layout
from quiesce.cli.up.supervisor import (
    Effect,
    Event,
    Exited,
    Kill,
    SayGone,
    SayKilled,
    SayRestart,
    Start,
    StopAsked,
    Supervisor,
    Terminate,
    Tick,
)
from quiesce.daemon import bound

_BOUND = Path(bound.__file__)
_LOG_TAIL_BYTES = 4096
COORDINATOR = "coordinator"


def commands(directory: Path, layout: Layout) -> dict[str, list[str]]:
    """Return the command lines of a cluster's processes, by name."""
    quiesce = [sys.executable, "-m", "quiesce"]
    members = ",".join(f"{node_id}={address}" for node_id, address in layout.members.items())
    children = {}
    for node_id, address in layout.members.items():
        where = ["--node-id", str(node_id), "--data", str(directory / f"node-{node_id}"), "--listen", address]
        cluster = ["--members", members, "--cluster-id", layout.cluster_id]
        children[f"node-{node_id}"] = [*quiesce, "node", *where, *cluster]
    cluster_addresses = ",".join(layout.members.values())
    children[COORDINATOR] = [
        *quiesce,
        "coordinator",
        *("--listen", layout.coordinator, "--cluster", cluster_addresses, "--repository", layout.repository),
        *("--drill-directory", str(directory / "drills")),
        *("--transfer-directory", str(directory / "transfers")),
    ]
    return children


class Processes:
    """The processes of one `quiesce up`; `say` tells the user."""

    def __init__(self, children: Mapping[str, Sequence[str]], logs: Path, say: Callable[[str], None]) -> None:
        self._commands = children
        self._logs = logs
        self._say = say
        # It gives back the lease of a running backup, and for that it needs the nodes.
        self._supervisor = Supervisor(children, stop_first={COORDINATOR} & children.keys())
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._waits: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> dict[str, int]:
        """The running processes by name."""
        return {name: process.pid for name, process in self._running.items()}

    def stop(self) -> None:
        """Ask for the end; asked again, for the end at once."""
        self._events.put_nowait(StopAsked())

    async def run(self) -> None:
        """Run the children until the end was asked for and all have ended."""
        await self._carry_out(self._supervisor.step(Tick(), time.monotonic()))
        while not self._supervisor.ended:
            event = await self._next()
            await self._carry_out(self._supervisor.step(event, time.monotonic()))

    async def _next(self) -> Event:
        due_s = self._supervisor.next_s()
        try:
            async with asyncio.timeout(None if due_s is None else max(due_s - time.monotonic(), 0.0)):
                return await self._events.get()
        except TimeoutError:
            return Tick()

    async def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Start(name):
                    await self._start(name)
                case Terminate(name):
                    self._signal(name, signal.SIGTERM)
                case Kill(name):
                    self._signal(name, signal.SIGKILL)
                case SayRestart(name, code, delay_s):
                    last = _last_line(self._logs / f"{name}.log")
                    self._say(f"{name} {_ended(code)}; it is started again in {delay_s:g} s. Its last words: {last}")
                case SayGone(name):
                    self._say(f"{name} was removed from its cluster and is not started again")
                case SayKilled(name):
                    self._say(f"{name} did not stop in time and is killed")

    async def _start(self, name: str) -> None:
        with (self._logs / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_BOUND), str(os.getpid())),
                *self._commands[name],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C on the terminal is ours alone, so that the end has an order.
                start_new_session=True,
            )
        self._running[name] = process
        wait = asyncio.create_task(self._wait(name, process))
        self._waits.add(wait)
        wait.add_done_callback(self._waits.discard)

    async def _wait(self, name: str, process: asyncio.subprocess.Process) -> None:
        code = await process.wait()
        del self._running[name]
        self._events.put_nowait(Exited(name, code))

    def _signal(self, name: str, number: signal.Signals) -> None:
        if (process := self._running.get(name)) is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(max(log.stat().st_size - _LOG_TAIL_BYTES, 0))
            lines = stream.read().decode(errors="replace").split("\n")
    except OSError:
        return "none"
    return next((line.strip() for line in reversed(lines) if line.strip()), "none")
