"""One run: start the cluster, let clients and faults at it, heal, and judge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from quiesce import AsyncClient
from quiesce.errors import QuiesceError
from tests.nemesis.conductor import Conductor
from tests.nemesis.ending import agreed_contents
from tests.nemesis.faults.deck import FAULTS, steps
from tests.nemesis.field import Field
from tests.nemesis.history import Operation
from tests.nemesis.network import Network
from tests.nemesis.nodes import Nodes
from tests.nemesis.recorder import Recorder
from tests.nemesis.report import report, too_little
from tests.nemesis.watch import Watch
from tests.nemesis.workloads.numbers import Numbers
from tests.nemesis.workloads.registers import Registers
from tests.nemesis.workloads.ring import DATABASE
from tests.nemesis.workloads.transfers import Transfers
from tests.nemesis.world import Workload, World

# A client call takes 12 s at most.
_LAST_CALLS_S = 20.0
_STARTED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be said, what was wrong, and what the run did not show."""

    text: str
    violations: list[str]
    shortcomings: list[str]


async def run(
    directory: Path, network: Network, *, nodes: int, minutes: float, seed: int, only: Sequence[str]
) -> Outcome:
    """Run for so many minutes at least: each fault comes once, however long that takes."""
    cluster = Nodes(directory, network, network.places[:-1], nodes)
    recorder = Recorder(directory / "nemesis.log")
    watch = Watch(cluster, recorder, DATABASE)
    world = World(seed, cluster, recorder, watch)
    workloads: list[Workload] = [Registers(world), Numbers(world), Transfers(world)]
    conductor = Conductor(Field(cluster, network, watch, recorder), seed)
    names = list(only) or list(FAULTS)
    background: list[asyncio.Task[None]] = []
    try:
        await cluster.start(cluster.ids)
        await _prepare(world, workloads)
        watching = asyncio.create_task(watch.run(), name="watch")
        clients = [asyncio.create_task(one) for workload in workloads for one in workload.clients()]
        background = [watching, *clients]
        for task in background:
            task.add_done_callback(lambda done: _see_to(done, recorder))
        await conductor.run(steps(Random(f"{seed} steps"), names), recorder.seconds() + 60 * minutes, names)
        recorder.note("the end: everything is healed")
        world.over.set()
        await asyncio.wait(clients, timeout=_LAST_CALLS_S)
        await _judge(cluster, recorder, workloads)
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await cluster.end_all()
        recorder.write_histories(directory / "history.txt", _histories(workloads))
    shortcomings = [*too_little(recorder, minutes), *_unproven(conductor, names)]
    return Outcome(report(recorder, conductor), recorder.violations, shortcomings)


async def _prepare(world: World, workloads: Sequence[Workload]) -> None:
    """Make what the workloads need, once the cluster answers."""
    async with AsyncClient(world.addresses, timeout_s=_STARTED_WITHIN_S) as client:
        for workload in workloads:
            await workload.prepare(client)


async def _judge(cluster: Nodes, recorder: Recorder, workloads: Sequence[Workload]) -> None:
    for text in cluster.surprises():
        recorder.violate(text)
    contents = await agreed_contents(cluster, recorder)
    if contents is not None:
        for workload in workloads:
            workload.judge(contents)


def _see_to(task: asyncio.Task[None], recorder: Recorder) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        kind = type(error).__name__
        what = error.message() if isinstance(error, QuiesceError) else repr(error)
        recorder.violate(f"a client of the test fell over, {kind}: {what} {_where(error)}")


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    places: list[str] = []
    while trace is not None:
        places.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " > ".join(places)


def _histories(workloads: Sequence[Workload]) -> dict[str, list[Operation]]:
    return {key: history for workload in workloads for key, history in workload.histories().items()}


def _unproven(conductor: Conductor, names: Sequence[str]) -> list[str]:
    missing = [name for name in names if not conductor.proven.get(name)]
    return [f"never seen in force: {', '.join(missing)}", *conductor.unproven] if missing else []
