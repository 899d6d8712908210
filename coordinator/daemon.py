"""The coordinator daemon: its server, its client to the cluster, its life from start to SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable

import structlog

from coordinator.config import CoordinatorConfig
from coordinator.drills import Deadlines, Drills, Scratch, ThrowawayCluster
from coordinator.drills.scheduler import DrillScheduler
from coordinator.drills.service import SERVICE as DRILLS_SERVICE
from coordinator.drills.service import DrillsService
from coordinator.job import Moment
from coordinator.jobs import Identifiers, Jobs
from coordinator.leadership import Leadership, run_while_leading
from coordinator.metrics import CoordinatorMetrics, Seen
from coordinator.policies import PolicyStore, Scheduler
from coordinator.policies.service import SERVICE as POLICIES_SERVICE
from coordinator.policies.service import PoliciesService
from coordinator.restore import NewNodes
from coordinator.retention.keeper import Keeper
from coordinator.retention.service import SERVICE as RETENTION_SERVICE
from coordinator.retention.service import RetentionService
from coordinator.service import SERVICE, BackupsService, locate
from coordinator.snapshots import Snapshots
from coordinator.threads import RepositoryThreads
from coordinator.transfer import SERVICE as TRANSFER_SERVICE
from coordinator.transfer import Spool, TransferService
from quiesce.client import AsyncClient
from quiesce.daemon.metrics import metrics_served
from quiesce.errors import QuiesceError
from quiesce.rpc import Server, open_server
from quiesce.snapshot import new_snapshot_id
from quiesce.v1 import backup_pb2_grpc, drill_pb2_grpc, policy_pb2_grpc, retention_pb2_grpc, transfer_pb2_grpc

log = structlog.get_logger()

SERVICES = [SERVICE, POLICIES_SERVICE, DRILLS_SERVICE, RETENTION_SERVICE]
# Five seconds from SIGTERM to the end: jobs are left to the next coordinator first.
STOP_JOBS_S = 4.0
STOP_CALLS_S = 0.5
# What a transfer has begun and cannot take back by then stays, unseen.
STOP_TRANSFERS_S = 2.0
# Bringing a merge into service is one step, which may take ten minutes.
TRANSFER_IDLE_S = 660.0
MEMBERS_EVERY_S = 5.0
READY_LOOK_S = 0.1
DIVERGED_LOOK_S = 10.0
# A name for the health service alone.
ATTESTATION = "quiesce.attestation"


def now() -> Moment:
    """Return the time."""
    return Moment(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)


def unix_ms() -> int:
    """Return the time for people, Unix milliseconds."""
    return now().unix_ms


def identifiers() -> Identifiers:
    """Return what makes ids that sort by time."""

    def snapshot() -> str:
        return new_snapshot_id(now().unix_ms, secrets.randbits(24))

    return Identifiers(job=lambda: f"job-{snapshot()}", snapshot=snapshot)


def make_drills(
    config: CoordinatorConfig, client: AsyncClient, snapshots: Snapshots, check_leads: Callable[[], None]
) -> Drills:
    """Return the drills of this coordinator."""
    scratch, idle_s = Scratch(config.drill_directory), config.policy.stall_ms / 1000
    return Drills(
        documents=client,
        snapshots=snapshots,
        scratch=scratch,
        make_cluster=lambda request: ThrowawayCluster(request, scratch, idle_s=idle_s),
        deadlines=Deadlines(stall_ms=config.policy.stall_ms),
        clock=now,
        new_id=lambda: f"drill-{new_snapshot_id(now().unix_ms, secrets.randbits(24))}",
        # Whoever comes after it has its directory.
        owner=f"{socket.gethostname()}:{config.drill_directory}",
        check_leads=check_leads,
    )


def make_transfers(config: CoordinatorConfig) -> TransferService:
    """Return the service for imports and exports by way of this coordinator."""
    spool = Spool(config.transfer_directory, limit=config.transfer_limit, most=config.transfers)
    stall_s = config.policy.stall_ms / 1000
    return TransferService(spool=spool, cluster=config.cluster, stall_s=stall_s, idle_s=TRANSFER_IDLE_S)


@contextlib.asynccontextmanager
async def _new_nodes(addresses: list[str]) -> AsyncIterator[NewNodes]:
    # A client of its own: these nodes are no members of the coordinator's cluster.
    async with AsyncClient(addresses) as client:
        yield client.admin


async def serve(config: CoordinatorConfig) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        AddressInUse: `listen` is taken.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    threads = RepositoryThreads()

    def place(repository: str) -> str:
        return locate(repository, config.repository)

    snapshots = Snapshots(threads)
    async with AsyncClient(config.cluster, name="coordinator") as client:
        leadership = Leadership(
            client,
            # The same after a restart, so that it need not wait for its own lease to end.
            holder=f"{socket.gethostname()} {config.advertise or config.listen}",
            address=config.advertise or config.listen,
            clock_ms=lambda: now().mono_ms,
        )
        jobs = Jobs(
            nodes=client.admin,
            documents=client,
            snapshots=snapshots,
            policy=config.policy,
            clock=now,
            identifiers=identifiers(),
            addresses=", ".join(config.cluster),
            leadership=leadership,
        )
        service = BackupsService(
            jobs=jobs,
            snapshots=snapshots,
            repository=config.repository,
            connect=_new_nodes,
            idle_s=config.policy.stall_ms / 1000,
        )
        server = open_server(config.listen)
        backup_pb2_grpc.add_BackupsServicer_to_server(service, server.grpc)
        policies = PolicyStore(client)
        scheduler = Scheduler(
            jobs=jobs,
            policies=policies,
            clock=unix_ms,
            locate=place,
        )
        policy_pb2_grpc.add_PoliciesServicer_to_server(
            PoliciesService(policies=policies, scheduler=scheduler, clock=unix_ms), server.grpc
        )
        drills = make_drills(config, client, snapshots, leadership.check)
        drill_scheduler = DrillScheduler(
            drills=drills,
            policies=policies,
            clock=unix_ms,
            locate=place,
        )
        drill_pb2_grpc.add_DrillsServicer_to_server(
            DrillsService(drills=drills, scheduler=drill_scheduler, locate=place),
            server.grpc,
        )
        keeper = Keeper(
            policies=policies,
            cluster_id=lambda: client.cluster_id,
            threads=threads,
            clock=unix_ms,
            locate=place,
            default=config.repository,
            grace_ms=config.garbage_grace_ms,
        )
        scheduler.on_success = keeper.wake
        retention_pb2_grpc.add_RetentionServicer_to_server(
            RetentionService(
                keeper=keeper,
                locate=place,
                clock=unix_ms,
            ),
            server.grpc,
        )

        async def ask() -> Seen:
            return Seen([entry.value for entry in await policies.by_name()], await jobs.list(0))

        metrics = CoordinatorMetrics(ask=ask, leads=jobs.ready.is_set, clock=unix_ms)
        transfers = make_transfers(config)
        transfer_pb2_grpc.add_TransferServicer_to_server(transfers, server.grpc)
        await server.set_serving("", True)
        for name in SERVICES:
            await server.set_serving(name, False)
        # It does not matter to a transfer who leads.
        await server.set_serving(TRANSFER_SERVICE, True)
        port = await server.start([*SERVICES, TRANSFER_SERVICE])
        log.info("listening", address=config.listen, port=port, cluster=", ".join(config.cluster))
        endpoint = metrics_served(config.metrics, metrics.collect)
        works_of_leader = [jobs.lead, scheduler.run, drill_scheduler.run, lambda: keeper.run(jobs.ready)]
        held = asyncio.create_task(leadership.run())
        works = asyncio.create_task(run_while_leading(leadership, works_of_leader, jobs.leave))
        health = asyncio.create_task(_show_ready(jobs, server))
        members = asyncio.create_task(_keep_up(client))
        divergence = asyncio.create_task(_show_divergence(metrics, server))
        drills_ready = asyncio.create_task(drills.make_ready())
        try:
            with endpoint:
                await _until(stop, held, works, drills_ready)
        finally:
            log.info("stopping")
            await asyncio.gather(jobs.stop(STOP_JOBS_S), drills.stop(STOP_JOBS_S))
            await leadership.give_back()
            for task in (works, held, health, members, divergence, drills_ready):
                task.cancel()
            await server.stop(STOP_CALLS_S)
            await transfers.stop(STOP_TRANSFERS_S)


async def _until(stop: asyncio.Event, *works: asyncio.Task[None]) -> None:
    """Wait to be stopped. A mistake in a work must end the daemon, not leave it deaf."""
    stopping = asyncio.create_task(stop.wait())
    left = {stopping, *works}
    try:
        while not stopping.done():
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        stopping.cancel()


async def _keep_up(client: AsyncClient) -> None:
    """Ask now and then who the members are: between two backups all those may be replaced that it was told of."""
    while True:
        with contextlib.suppress(QuiesceError):
            await client.admin.members()
        await asyncio.sleep(MEMBERS_EVERY_S)


async def _show_divergence(metrics: CoordinatorMetrics, server: Server) -> None:
    """Show who asks for the health of the attestation whether a node holds something else than the majority."""
    while True:
        await metrics.look()
        await server.set_serving(ATTESTATION, not metrics.diverged)
        await asyncio.sleep(DIVERGED_LOOK_S)


async def _show_ready(jobs: Jobs, server: Server) -> None:
    """Show who asks for the health of a service whether jobs are run here, or elsewhere."""
    shown = False
    while True:
        if jobs.ready.is_set() is not shown:
            shown = jobs.ready.is_set()
            for name in SERVICES:
                await server.set_serving(name, shown)
        await asyncio.sleep(READY_LOOK_S)
