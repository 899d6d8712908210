"""Proposals a second through three processes on one machine: real gRPC, real fdatasync, a state that does nothing.

Usage: python -m benchmarks.consensus_throughput --help
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import multiprocessing
import pstats
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nodes.consensus import CheckpointMade, CommittedEntry, Consensus, ConsensusOptions, initialise_log
from quiesce.rpc import open_server
from quiesce.v1.node_pb2 import NODE_ROLE_LEADER
from quiesce.v1.peer_pb2 import Command, LogEntry, Outcome
from quiesce.v1.peer_pb2_grpc import add_PeerServicer_to_server


class Nothing:
    """A state that only counts."""

    def __init__(self) -> None:
        self.applied = (0, 0)
        self.membership = None
        self.entries = 0

    def apply(self, entries: Sequence[CommittedEntry]) -> list[tuple[int, Outcome]]:
        outcomes = []
        for entry in entries:
            outcomes += [(command.proposal_id, Outcome()) for command in LogEntry.FromString(entry.data).commands]
        self.entries += len(entries)
        self.applied = (entries[-1].index, entries[-1].term)
        return outcomes

    def checkpoint(self, directory: Path) -> CheckpointMade:
        directory.mkdir()
        return CheckpointMade(*self.applied, None)

    def install(self, directory: Path) -> None:
        raise NotImplementedError

    def durable_index(self) -> int:
        return self.applied[0]


async def _node(
    node_id: int, members: dict[int, str], root: Path, stop: Any, results: Any, arguments: argparse.Namespace
) -> None:
    directory = root / str(node_id) / "raft"
    initialise_log(directory, voters=list(members))
    state = Nothing()
    consensus = Consensus(
        node_id=node_id, cluster_id="bench", members=members, directory=directory, state=state,
        on_removed=stop.set, options=ConsensusOptions(),
    )  # fmt: skip
    server = open_server(members[node_id])
    add_PeerServicer_to_server(consensus.peer_servicer(), server.grpc)
    await consensus.start()
    await server.start(["quiesce.v1.Peer"])
    while not stop.is_set():
        if consensus.status().role == NODE_ROLE_LEADER and not results.qsize():
            results.put(await _load(consensus, state, arguments))
            stop.set()
        await asyncio.sleep(0.05)
    await consensus.stop()
    await server.stop(0)


async def _load(consensus: Consensus, state: Nothing, arguments: argparse.Namespace) -> dict[str, float]:
    await asyncio.sleep(0.5)
    latencies: list[float] = []
    reads: list[float] = []
    name = "x" * arguments.bytes
    end = time.perf_counter() + arguments.seconds

    async def writer() -> None:
        while (began := time.perf_counter()) < end:
            command = Command()
            command.drop_database.name = name
            await consensus.propose(command, timeout_s=10)
            latencies.append(time.perf_counter() - began)

    async def reader() -> None:
        while (began := time.perf_counter()) < end:
            await consensus.read_barrier(timeout_s=10)
            reads.append(time.perf_counter() - began)

    entries = state.entries
    await asyncio.gather(*(writer() for _ in range(arguments.in_flight)), *(reader() for _ in range(arguments.readers)))
    latencies.sort()
    reads.sort()
    found = {
        "proposals a second": len(latencies) / arguments.seconds,
        "commands an entry": len(latencies) / max(1, state.entries - entries),
        "p50 ms": latencies[len(latencies) // 2] * 1000,
        "p99 ms": latencies[len(latencies) * 99 // 100] * 1000,
    }
    if reads:
        found |= {
            "barriers a second": len(reads) / arguments.seconds,
            "barrier p50 ms": reads[len(reads) // 2] * 1000,
        }
    return found


def _process(
    node_id: int, members: dict[int, str], root: Path, stop: Any, results: Any, arguments: argparse.Namespace
) -> None:
    sys.setswitchinterval(arguments.switch_interval)
    if not arguments.profile:
        asyncio.run(_node(node_id, members, root, stop, results, arguments))
        return
    profiles: list[tuple[str, cProfile.Profile]] = []
    run = threading.Thread.run

    def profiled(self: threading.Thread) -> None:
        profile = cProfile.Profile()
        profiles.append((threading.current_thread().name, profile))
        profile.runcall(run, self)

    threading.Thread.run = profiled  # type: ignore[method-assign]
    profile = cProfile.Profile()
    profile.runcall(asyncio.run, _node(node_id, members, root, stop, results, arguments))
    for name, one in [("loop", profile), *profiles]:
        if name in ("loop", "quiesce-raft", "quiesce-applier"):
            print(f"=== node {node_id}, thread {name}")
            pstats.Stats(one).sort_stats("tottime").print_stats(22)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-flight", type=int, default=128)
    parser.add_argument("--readers", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--bytes", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--switch-interval", type=float, default=0.001)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(dir=arguments.directory))
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(arguments.nodes)]
    members = {node: f"127.0.0.1:{probe.getsockname()[1]}" for node, probe in enumerate(probes, 1)}
    for probe in probes:
        probe.close()
    context = multiprocessing.get_context("spawn")
    stop, results = context.Event(), context.Queue()
    processes = [
        context.Process(target=_process, args=(node, members, root, stop, results, arguments)) for node in members
    ]
    try:
        for process in processes:
            process.start()
        for key, value in results.get(timeout=arguments.seconds + 60).items():
            print(f"{key:>20}: {value:,.2f}")
        for process in processes:
            process.join(20)
    finally:
        for process in processes:
            process.kill()
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
