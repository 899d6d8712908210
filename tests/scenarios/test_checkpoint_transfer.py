"""A node that begins anew gets the leader's checkpoint, however often it is cut off, and no writer is told."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from quiesce import Client
from quiesce.records import create
from tests.scenarios.cluster import Cluster
from tests.scenarios.daemon import until
from tests.scenarios.people import check_all, contents, hammer, make_database

RATE = 1 << 20


def fill(client: Client, megabytes: int) -> None:
    """Write records that no compression makes smaller."""
    client.create_database("ballast")
    for _ in range(megabytes):
        bodies = [base64.b85encode(os.urandom(8_000)).decode() for _ in range(100)]
        client.write("ballast", [create({"text": body}, class_name="V") for body in bodies], timeout_s=30)


def logged(cluster: Cluster, event: str) -> list[dict[str, Any]]:
    """Return what all nodes have logged under this name, in order of time."""
    found = []
    for node in cluster.nodes:
        log = cluster.directory / f"node-{node}.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        found += [json.loads(line) for line in lines if f'"{event}"' in line]
    return sorted(found, key=lambda entry: entry["timestamp"])


def there(cluster: Cluster, node: int) -> int:
    """Return the bytes that have arrived at a node."""
    incoming = cluster.data(node) / "raft" / "incoming"
    return sum(path.stat().st_size for path in incoming.glob("*/*") if path.exists())


@pytest.mark.timeout(240)
def test_a_transfer_that_is_cut_off_twice_goes_on_where_it_was(tmp_path: Path) -> None:
    options = {"checkpoint-rate": str(RATE), "log-format": "json"}
    with Cluster(tmp_path, spare=1, node_options=options) as cluster, cluster.client(timeout_s=30) as client:
        make_database(client)
        fill(client, 12)
        # The machine of a follower burns down; another takes its place.
        lost = cluster.followers()[0]
        cluster.nodes[lost].kill()
        writers = hammer(client, count=2)
        joiner = cluster.joiner(4)
        client.admin.add_node(4, cluster.members[4])
        joiner.start()
        until(lambda: there(cluster, 4) > 3 << 20, 60, "a part has arrived")
        # Once by its death, once by a silence that is longer than a connection lives.
        joiner.kill()
        before = there(cluster, 4)
        joiner.start()
        until(lambda: there(cluster, 4) > before + (3 << 20), 60, "it goes on")
        joiner.pause()
        until(lambda: len(logged(cluster, "checkpoint not sent")) >= 2, 60, "the sender has given up")
        joiner.resume()
        cluster.promote(4, client, timeout_s=120)
        for writer in writers:
            writer.end()
        assert [writer.failures for writer in writers] == [[]] * len(writers)
        offers, sent = logged(cluster, "checkpoint offered"), logged(cluster, "checkpoint sent")
        assert len(logged(cluster, "checkpoint made")) == len(sent) == 1
        assert len(offers) >= 3
        # Nothing that was there came again.
        assert offers[1]["there"] == before
        assert offers[-1]["there"] > before + (3 << 20)
        assert sent[0]["sent"] == sent[0]["bytes"] - offers[-1]["there"]
        # The pair that is left is the leader and the new one: it holds what was written.
        client.admin.remove_node(lost)
        check_all(writers, contents(client))
