"""What clients feel while a node that joins gets its checkpoint from the leader.

Usage: python -m benchmarks.transfer --help

Real daemons on this machine. A few clients write small records in a closed loop the whole time; their latencies are
parted into those before and those while the checkpoint is on its way, as the leader's log says.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import rows_table, write_json
from quiesce import Client
from quiesce.records import create
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import DATABASE, make_database, person

_RECORD_BYTES = 8_000
_BATCH = 200
_PATIENCE_S = 600.0


class _Load(threading.Thread):
    """One client that writes, and how long each write took."""

    def __init__(self, client: Client, first: int) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.seen: list[tuple[float, float]] = []
        self._client, self._first = client, first

    def run(self) -> None:
        number = self._first
        while not self.ended.is_set():
            began = time.monotonic()
            self._client.write(DATABASE, [create(person(number), class_name="Person")])
            self.seen.append((began, time.monotonic() - began))
            number += 1


def fill(client: Client, size: int) -> None:
    """Write so many bytes of records that no compression makes smaller."""
    client.create_database("ballast")
    for _ in range(size // (_RECORD_BYTES * _BATCH)):
        bodies = [base64.b85encode(os.urandom(_RECORD_BYTES * 4 // 5)).decode() for _ in range(_BATCH)]
        client.write("ballast", [create({"text": body}, class_name="V") for body in bodies], timeout_s=60)


def summary(load: Sequence[_Load], begin: float, end: float) -> dict[str, float]:
    """Return the latencies, in milliseconds, of the writes begun between two moments."""
    found = sorted(took for one in load for began, took in one.seen if begin <= began < end)
    share = {name: found[min(len(found) - 1, int(part * len(found)))] for name, part in _PARTS}
    return {
        "writes/s": round(len(found) / (end - begin)),
        **{name: round(1000 * took, 1) for name, took in share.items()},
    }


_PARTS = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("most", 1.0))


def measure(directory: Path, *, size: int, rate: int, clients: int, seconds: float) -> list[dict[str, object]]:
    """Run one cluster; return the latencies without and with a transfer."""
    options = {"checkpoint-rate": str(rate), "log-format": "json"}
    with Cluster(directory, spare=1, node_options=options) as cluster, cluster.client(timeout_s=30) as client:
        make_database(client)
        fill(client, size)
        load = [_Load(client, 1_000_000 * (number + 1)) for number in range(clients)]
        for one in load:
            one.start()
        time.sleep(3)
        begin = time.monotonic()
        time.sleep(seconds)
        before = summary(load, begin, time.monotonic())
        log = directory / f"node-{cluster.leader()}.log"
        joiner = cluster.joiner(4)
        # Started first: how long Python takes to start is not what is measured.
        joiner.start()
        time.sleep(4)
        client.admin.add_node(4, cluster.members[4])
        until(lambda: "checkpoint made" in log.read_text(), _PATIENCE_S, "a checkpoint is made", 0.01)
        begin = time.monotonic()
        until(lambda: "checkpoint sent" in log.read_text(), _PATIENCE_S, "it is sent", 0.01)
        end = time.monotonic()
        # What the making of it costs comes before the line that tells of it.
        during = summary(load, begin - 0.5, end)
        for one in load:
            one.ended.set()
        for one in load:
            one.join(30)
        made = next(line for line in log.read_text().splitlines() if "checkpoint made" in line)
        print(made)
    shared = {"rate MiB/s": rate / 2**20, "transfer s": round(end - begin, 1)}
    return [{"when": "before", **shared, **before}, {"when": "meanwhile", **shared, **during}]


def main() -> None:
    parser = argparse.ArgumentParser(description="Latencies of clients while a checkpoint is sent.")
    parser.add_argument("--megabytes", type=int, default=300, help="What the store holds.")
    parser.add_argument("--rates", default="67108864", help="Values of checkpoint_rate, with commas; 0: no limit.")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0, help="How long it is measured without a transfer.")
    parser.add_argument("--directory", type=Path, default=Path("build/benchmarks"))
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for rate in map(int, arguments.rates.split(",")):
        fresh = Path(tempfile.mkdtemp(prefix="transfer-", dir=arguments.directory)).absolute()
        try:
            rows += measure(
                fresh,
                size=arguments.megabytes * 10**6,
                rate=rate,
                clients=arguments.clients,
                seconds=arguments.seconds,
            )
        finally:
            shutil.rmtree(fresh)
        print(rows_table("Writes while a checkpoint is sent", rows))
    write_json(arguments.directory / "transfer.json", {"name": "transfer", "rows": rows})


if __name__ == "__main__":
    main()
