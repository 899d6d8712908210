"""A node that has data: its parts, put together, started and stopped in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc.aio
import structlog
from prometheus_client import Metric

from nodes.config import NodeConfig
from nodes.consensus import Consensus, ConsensusOptions
from nodes.data_directory import DataDirectory
from nodes.identity import Identity
from nodes.latency import ClientLatency
from nodes.leader_watch import watch_leader
from nodes.members import format_members
from nodes.membership.keeper import MembershipKeeper
from nodes.metrics import node_metrics
from nodes.proposals import Proposals
from nodes.rolled_back import end_and_mark
from nodes.room import RoomWatch, Watermark, default_reserve, free_bytes
from nodes.rotation.driver import Rotation
from nodes.rotation.gate import Gate
from nodes.rotation.held import Held
from nodes.rotation.log_clock import LogClock
from nodes.service.attesting import Attester
from nodes.service.calls import Calls
from nodes.service.databases import DatabasesService
from nodes.service.members import Members
from nodes.service.node import NodeService, Parts
from nodes.service.reads import Reads
from nodes.service.records import RecordsService
from nodes.service.snapshots import Snapshots
from nodes.service.worker_rate import WorkerRate
from nodes.statemachine import ReplicatedState
from quiesce import __version__
from quiesce.daemon.memory import FreeMemory
from quiesce.daemon.metrics import metrics_served
from quiesce.errors import NodeRemoved, QuiesceError
from quiesce.rpc import Intake, Server
from quiesce.v1 import database_pb2_grpc, node_pb2_grpc, peer_pb2_grpc, record_pb2_grpc

RECORDS, DATABASES, NODE, PEER = "quiesce.v1.Records", "quiesce.v1.Databases", "quiesce.v1.Node", "quiesce.v1.Peer"
CLIENT_SERVICES = (RECORDS, DATABASES)
# Long reads are made here, the rest where the call is; more threads would only queue for the interpreter.
_READ_THREADS = 4
_CUT_S = 0.5
_NODE_CALLS = 256
_log = structlog.get_logger("node")


def wall_ms() -> int:
    """Return Unix milliseconds."""
    return time.time_ns() // 1_000_000


class RunningNode:
    """Serves until it is told to stop, or a part of it fails."""

    def __init__(self, config: NodeConfig, identity: Identity, data: DataDirectory, server: Server) -> None:
        self._config = config
        self._identity = identity
        self._server = server
        self._threads = ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="read")
        self._state = ReplicatedState(data.path, identity.node_id)
        self._state.on_checkpoint = lambda _, mark: data.note_mark(mark)
        self._removed: asyncio.Future[NodeRemoved] = asyncio.get_running_loop().create_future()
        self._damaged: asyncio.Future[QuiesceError] = asyncio.get_running_loop().create_future()
        self._keeper = MembershipKeeper(identity, config.members, data.path, self._state)
        reserve = default_reserve(data.path) if config.disk_reserve is None else config.disk_reserve
        watermark = Watermark(lambda: free_bytes(data.path), reserve)
        self._consensus = Consensus(
            node_id=identity.node_id,
            cluster_id=identity.cluster_id,
            members=self._keeper.founders | {identity.node_id: self._keeper.own_address(config.advertise)},
            directory=data.raft,
            state=self._state,
            on_removed=self._on_removed,
            options=ConsensusOptions(
                tick_ms=config.tick_ms,
                heartbeat_ticks=config.heartbeat_ticks,
                election_ticks=config.election_ticks,
                takes_append=watermark.takes_append,
                disk_full=lambda: not watermark.takes_writes,
                reserve_bytes=watermark.reserve,
                checkpoint_rate=config.checkpoint_rate,
                on_fatal=partial(end_and_mark, data.path),
            ),
        )
        gate = Gate(clock_ms=wall_ms, monotonic=time.monotonic, grace_s=config.drain_grace)
        self._calls = Calls(
            node_id=identity.node_id,
            cluster_id=identity.cluster_id,
            others=lambda: ", ".join(
                address for node, address in self._consensus.addresses().items() if node != identity.node_id
            ),
            gate=gate,
            has_leader=lambda: self._consensus.status().leader_id != 0,
            on_damage=self._on_damage,
            max_requests=config.max_requests,
            max_scans=config.max_scans,
        )
        clock = LogClock(self._consensus.agreed_ms, time.monotonic)
        proposals = self._proposals = Proposals(self._consensus, clock, self._refusal, watermark.spend)
        worker_rate = WorkerRate(self._held_anywhere)
        self._snapshots = Snapshots(
            node_id=identity.node_id,
            cluster_id=identity.cluster_id,
            data=data,
            held=self._held,
            rate=worker_rate,
            on_damage=self._on_damage,
        )
        self._attester = Attester(
            node_id=identity.node_id,
            cluster_id=identity.cluster_id,
            data=data,
            lease=self._lease,
            rate=worker_rate,
            full=lambda: watermark.full,
            on_damage=self._on_damage,
        )
        self._state.may_attest = lambda: not watermark.full
        self._rotation = Rotation(
            node_id=identity.node_id,
            gate=gate,
            calls=self._calls,
            consensus=self._consensus,
            state=self._state,
            proposals=proposals,
            clock=clock,
            set_health=self._set_health,
            on_held=self._snapshots.lease_changed,
        )
        self._room = RoomWatch(
            node_id=identity.node_id,
            path=data.path,
            watermark=watermark,
            consensus=self._consensus,
            rotation=self._rotation,
        )
        reads = Reads(self._consensus, self._state)
        latency = ClientLatency()
        parts = Parts(
            identity=identity,
            address=config.advertise,
            version=__version__,
            members=Members(
                node_id=identity.node_id,
                cluster_id=identity.cluster_id,
                backup_priority=config.backup_priority,
                nobackup=config.nobackup,
                consensus=self._consensus,
                state=self._state,
                proposals=proposals,
                rotation=self._rotation,
            ),
            max_lag_entries=config.max_lag_entries,
            data=data,
            consensus=self._consensus,
            state=self._state,
            proposals=proposals,
            gate=gate,
            calls=self._calls,
            rotation=self._rotation,
            snapshots=self._snapshots,
            attester=self._attester,
            worker_rate=worker_rate,
            latency=latency,
            watermark=watermark,
        )

        def admit_write(context: grpc.aio.ServicerContext[Any, Any]) -> None:
            # A batch may be large: it is not read by a node that would not take it.
            self._calls.check_cluster(context)
            proposals.check_takes("write")

        def intake(most_calls: int) -> grpc.aio.Server:
            return Intake(
                server.grpc,
                most_calls=most_calls,
                refusal=self._calls.overloaded,
                admit={f"/{RECORDS}/Write": admit_write},
                packed={f"/{RECORDS}/Scan"},
                waited={
                    f"/{RECORDS}/Get": latency.reads.add,
                    f"/{RECORDS}/Lookup": latency.reads.add,
                    f"/{RECORDS}/Write": latency.writes.add,
                },
            ).as_server

        clients = intake(config.max_requests)
        records = RecordsService(self._calls, reads, proposals, self._threads, scan_stall_s=config.scan_stall)
        record_pb2_grpc.add_RecordsServicer_to_server(records, clients)
        database_pb2_grpc.add_DatabasesServicer_to_server(DatabasesService(self._calls, reads, proposals), clients)
        # Of its own, so that a node under load still says how it is and can be taken out of rotation.
        self._node = NodeService(parts)
        node_pb2_grpc.add_NodeServicer_to_server(self._node, intake(_NODE_CALLS))
        peer_pb2_grpc.add_PeerServicer_to_server(self._consensus.peer_servicer(), server.grpc)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set.

        Raises:
            DamagedLog, DamagedStore, DiskFailed: at the start; later such an error ends the process.
            PeersUnreachable: no leader within the time required.
            NodeRemoved: it is no member any more.
            DamagedStore, DiskFailed: also what a read has met later.
        """
        await self._set_health(False)
        await self._consensus.start()
        await self._server.start([*CLIENT_SERVICES, NODE, PEER])
        await self._server.set_serving("", True)
        _log.info("listening", address=self._server.address, cluster_id=self._identity.cluster_id)
        try:
            with metrics_served(self._config.metrics, self._metrics):
                await self._work(stop)
        finally:
            await self._stop()

    async def _metrics(self) -> list[Metric]:
        return node_metrics(self._node.status())

    async def _work(self, stop: asyncio.Event) -> None:
        await first_of(
            stop.wait(),
            self._removal(),
            self._damage(),
            self._rotation.run(),
            FreeMemory().run(),
            self._room.run(),
            self._attester.run(),
            self._keeper.run(self._consensus, self._proposals),
            watch_leader(
                lambda: self._consensus.status().leader_id,
                members=lambda: format_members(self._consensus.addresses()),
                require_within_s=self._config.require_leader_within,
            ),
        )

    def _held(self) -> Held | None:
        # As it is applied: the checkpoint goes with the lease, before rotation looks.
        self._rotation.look()
        return self._rotation.held

    def _held_anywhere(self) -> Held | None:
        self._rotation.look()
        lease = self._rotation.lease
        return None if lease is None else Held.of(lease)

    def _lease(self) -> tuple[int | None, bool]:
        self._rotation.look()
        lease = self._rotation.lease
        return (None, False) if lease is None else (lease.epoch, lease.node_id == self._identity.node_id)

    def _refusal(self) -> QuiesceError | None:
        return self._room.refusal()

    def _on_removed(self) -> None:
        if self._removed.done():
            return
        # Before anything else: however this process ends, the next one must know.
        try:
            self._removed.set_result(self._keeper.removed())
        except QuiesceError as error:
            self._removed.set_exception(error)

    async def _removal(self) -> None:
        raise await self._removed

    def _on_damage(self, error: QuiesceError) -> None:
        """End this node in good order: whatever else it answered could be wrong as well, and the others have it all."""
        if not self._damaged.done():
            _log.error("damage found while serving", error=str(error))
            self._rotation.stop_serving()
            self._damaged.set_result(error)

    async def _damage(self) -> None:
        raise await self._damaged

    async def _stop(self) -> None:
        _log.info("stopping")
        self._rotation.stop_serving()
        await self._set_health(False)
        await self._snapshots.stop()
        await self._attester.stop()
        await self._rotation.give_leadership_away(self._config.stop_grace)
        if not await self._calls.idle(self._config.stop_grace):
            _log.warning("cutting calls that still run", running=self._calls.running)
            self._calls.cut_reads()
        # The streams of the peers do not end by themselves, so there is no waiting for the last call here.
        await self._server.stop(_CUT_S)
        await self._consensus.stop()
        self._threads.shutdown()
        self._state.close()
        _log.info("stopped")

    async def _set_health(self, serving: bool) -> None:
        for service in CLIENT_SERVICES:
            await self._server.set_serving(service, serving)


async def first_of(*work: Coroutine[Any, Any, Any]) -> None:
    """Run all until the first ends; cancel the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
