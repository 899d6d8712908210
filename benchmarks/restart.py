"""How long a node takes from its start to serving, by what it finds on its disk.

Usage: python -m benchmarks restart, or python -m benchmarks.restart --help

The log is written by the daemon's own parts, one command an entry, in this process and as a cluster of one: only its
fsync is left out. Then the daemon itself is started on the directory, killed, and started again.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import machine_noise
from benchmarks.memory_use import resident_bytes
from benchmarks.records import CLASS, DATABASE, body
from benchmarks.report import rows_table, write_json
from nodes.consensus import Consensus, ConsensusOptions, Disk, initialise_log
from nodes.data_directory import DataDirectory
from nodes.identity import Identity, write_identity
from nodes.statemachine import ReplicatedState
from nodes.store.current import directory_in_use
from quiesce import Client
from quiesce.errors import QuiesceError
from quiesce.v1 import database_pb2, node_pb2, peer_pb2, record_pb2
from tests.scenarios.cluster import free_ports
from tests.scenarios.daemon import Daemon

ENTRIES = 1_000_000
RESTARTS = 3
_IN_FLIGHT = 512
_PATIENCE_S = 300.0
_SYNCED = "as-synced"


class _FastDisk(Disk):
    """Leaves out the fsync: what is measured is how a log is read, not how it was written."""

    def sync(self, descriptor: int, path: Path) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Written:
    entries: int
    seconds: float
    # The most that the log's directory held at any time.
    most_log_bytes: int


def write_commands(small: bool) -> Iterator[peer_pb2.Command]:
    """Yield writes of one record of 300 bytes each, or of the smallest there is."""
    for number in itertools.count():
        content = b'{"@class":"%s"}' % CLASS.encode() if small else body(number)
        record = record_pb2.Create(class_name=CLASS, kind=record_pb2.RECORD_KIND_DOCUMENT, body=content)
        request = record_pb2.WriteRequest(database=DATABASE, operations=[record_pb2.Operation(create=record)])
        yield peer_pb2.Command(write=request)


@contextmanager
def _new_node(directory: Path, address: str) -> Iterator[tuple[Consensus, ReplicatedState]]:
    data = DataDirectory(directory)
    data.lock()
    identity = Identity(1, "restart", {1: address})
    data.begin()
    initialise_log(data.raft, voters=[1])
    write_identity(directory, identity)
    data.finished()
    with closing(ReplicatedState(directory, 1)) as state:
        options = ConsensusOptions(entry_commands=1, disk=_FastDisk(), waiting_proposals=4 * _IN_FLIGHT)
        consensus = Consensus(
            node_id=1,
            cluster_id="restart",
            members={1: address},
            directory=data.raft,
            state=state,
            options=options,
            on_removed=lambda: None,
        )
        yield consensus, state
    data.unlock()


async def fill(directory: Path, address: str, *, entries: int, small: bool, power_loss: bool) -> _Written:
    """Write a node's directory with a log of so many entries.

    With `power_loss` the log is filled to just below the size at which it is compacted, and the store is left as the
    last fsync had it: the longest way to replay.
    """
    started = time.perf_counter()
    most = 0
    with _new_node(directory, address) as (consensus, state):
        if power_loss:
            _keep_what_is_synced(state, directory / _SYNCED)
        await consensus.start()
        while consensus.status().leader_id != 1:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        for command in _schema():
            await consensus.propose(command, timeout_s=30)
        commands = iter(write_commands(small))
        left = entries

        async def writer() -> None:
            nonlocal left, most
            while left > 0:
                left -= 1
                await consensus.propose(next(commands), timeout_s=_PATIENCE_S)
                most = max(most, consensus.status().log_bytes)

        async with asyncio.TaskGroup() as group:
            for _ in range(_IN_FLIGHT):
                group.create_task(writer())
        if power_loss:
            most = await _fill_up(consensus, commands)
        await consensus.stop()
        last = consensus.status().last_index
    if power_loss:
        current = directory_in_use(directory / "store")
        assert current is not None
        shutil.rmtree(current)
        (directory / _SYNCED).rename(current)
    return _Written(last, time.perf_counter() - started, most)


def _keep_what_is_synced(state: ReplicatedState, directory: Path) -> None:
    sync = state.durable_index

    def durable_index() -> int:
        index = sync()
        shutil.rmtree(directory, ignore_errors=True)
        state.checkpoint(directory)
        return index

    state.durable_index = durable_index  # type: ignore[method-assign]


async def _fill_up(consensus: Consensus, commands: Iterator[peer_pb2.Command]) -> int:
    limit = ConsensusOptions().compact_bytes - (1 << 20)
    first = consensus.status().first_index

    async def writer() -> None:
        while consensus.status().log_bytes < limit:
            await consensus.propose(next(commands), timeout_s=_PATIENCE_S)

    async with asyncio.TaskGroup() as group:
        for _ in range(_IN_FLIGHT):
            group.create_task(writer())
    if consensus.status().first_index != first:
        raise RuntimeError("the log was compacted meanwhile: run it again with another number of entries")
    return consensus.status().log_bytes


def _schema() -> list[peer_pb2.Command]:
    alter = database_pb2.AlterSchemaRequest(
        database=DATABASE,
        changes=[database_pb2.SchemaChange(create_class=database_pb2.ClassDefinition(name=CLASS))],
    )
    return [
        peer_pb2.Command(create_database=database_pb2.CreateDatabaseRequest(name=DATABASE)),
        peer_pb2.Command(alter_schema=alter),
    ]


def restart(directory: Path, address: str) -> dict[str, object]:
    """Start the daemon on a directory, and return how long it took to serve, then kill it."""
    daemon = Daemon(["node", "--node-id", "1", "--data", str(directory), "--listen", address], directory / "daemon.log")
    started = time.perf_counter()
    daemon.start()
    try:
        with Client(address, timeout_s=2) as client:
            while (status := _status(client, address)) is None or status.serving != node_pb2.SERVING_STATE_SERVING:
                if not daemon.running:
                    raise RuntimeError(f"the daemon ended:\n{daemon.tail()}")
                time.sleep(0.02)
            seconds = time.perf_counter() - started
            return {
                "seconds to serving": seconds,
                "entries in the log": status.applied_index - status.first_log_index + 1,
                "log MB": status.log_bytes / 1e6,
                "resident MB": resident_bytes(daemon.pid) / 1e6,
            }
    finally:
        daemon.kill()


def _status(client: Client, address: str) -> node_pb2.NodeStatus | None:
    try:
        return client.admin.status(address)
    except QuiesceError:
        return None


CASES = ("records", "smallest", "power loss")


def run(directory: Path, *, entries: int, restarts: int, cases: Sequence[str]) -> None:
    """Measure, and print a table."""
    rows: list[dict[str, object]] = []
    for case in cases:
        fresh = Path(tempfile.mkdtemp(prefix="restart-", dir=directory)).absolute()
        try:
            address = f"127.0.0.1:{free_ports(1)[0]}"
            small, power_loss = case != "records", case == "power loss"
            work = fill(fresh / "node-1", address, entries=entries, small=small, power_loss=power_loss)
            written = asyncio.run(work)
            for number in range(restarts):
                found = restart(fresh / "node-1", address)
                # Only the first start after a power loss has anything to replay.
                name = "full log" if number and power_loss else case
                rows.append(
                    {
                        "case": name,
                        "entries written": written.entries,
                        "most log MB": written.most_log_bytes / 1e6,
                        **found,
                        "loop ms": machine_noise(fresh).spin_ms,
                    }
                )
                print(rows[-1], flush=True)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    print("\n" + rows_table("From the start of the process to serving", rows))
    write_json(directory / "restart.json", {"name": "restart", "rows": rows})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES, help="Entries before the restart.")
    parser.add_argument("--restarts", type=int, default=RESTARTS)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--directory", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    cases = [arguments.only] if arguments.only else CASES
    run(arguments.directory, entries=arguments.entries, restarts=arguments.restarts, cases=cases)


if __name__ == "__main__":
    main()
