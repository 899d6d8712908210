"""P2: an export under full write load is the store at its index, exactly, and nobody waits for it."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from quiesce import RID, Client
from quiesce.errors import QuiesceError
from quiesce.orientdb import ExportReader
from quiesce.records import create, delete, update
from quiesce.v1.database_pb2 import ClassDefinition, SchemaChange
from tests.scenarios.cli import quiesce
from tests.scenarios.cluster import Cluster

WRITERS = 4
EXPORTS = 4
BATCH = 20
RESTING = 50_000


@dataclass
class Change:
    """What an answer told: at this index the record became this, or went."""

    index: int
    value: int | None


@dataclass(eq=False)
class Writer(threading.Thread):
    """Writes without pause: creates, changes and deletes, several records a transaction; keeps all answers."""

    client: Client
    seed: int
    history: dict[RID, list[Change]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    answers: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self._random = random.Random(self.seed)
        self._alive: list[RID] = []

    def run(self) -> None:
        number = self.seed * 1_000_000
        while not self.ended.is_set():
            number += BATCH
            try:
                self._create(number)
                self._change(number)
            except QuiesceError as error:
                self.failures.append(error.message())
            self.answers += 1

    def _create(self, number: int) -> None:
        values = [number + n for n in range(BATCH)]
        made = self.client.write("load", [create({"v": value, "w": -value}, class_name="Thing") for value in values])
        for value, record in zip(values, made.written, strict=True):
            self._note(RID.of(record), made.index, value)
        self._alive += [RID.of(record) for record in made.written]

    def _change(self, number: int) -> None:
        self._random.shuffle(self._alive)
        changed, gone = self._alive[:BATCH], self._alive[BATCH : BATCH + 5]
        values = [-number - n for n in range(len(changed))]
        fields = [{"@class": "Thing", "v": value, "w": -value} for value in values]
        answer = self.client.write("load", [*map(update, changed, fields), *map(delete, gone)])
        for rid, value in zip(changed, values, strict=True):
            self._note(rid, answer.index, value)
        for rid in gone:
            self._note(rid, answer.index, None)
        del self._alive[BATCH : BATCH + 5]

    def _note(self, rid: RID, index: int, value: int | None) -> None:
        self.history.setdefault(rid, []).append(Change(index, value))

    def expected(self, index: int) -> dict[RID, int]:
        """Return what there is at an index, as far as this writer made it."""
        found: dict[RID, int] = {}
        for rid, changes in self.history.items():
            last = [one.value for one in changes if one.index <= index][-1:]
            if last and last[0] is not None:
                found[rid] = last[0]
        return found


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster") as running:
        yield running


def rest(client: Client) -> dict[RID, int]:
    """Write records that nobody changes, so that an export takes its time; return them with their values."""
    found: dict[RID, int] = {}
    for first in range(0, RESTING, 1000):
        numbers = range(first, first + 1000)
        answer = client.write("load", [create({"v": n, "w": -n}, class_name="Thing") for n in numbers])
        found |= {RID.of(record): n for n, record in zip(numbers, answer.written, strict=True)}
    return found


def exported(cluster: Cluster, path: Path) -> tuple[int, dict[RID, int]]:
    """Export, and return the index and each record's value."""
    answer = quiesce("export", "load", str(path), "--cluster", cluster.addresses, "--output", "json", timeout_s=300)
    assert answer.code == 0, answer.error
    found: dict[RID, int] = {}
    with ExportReader(path) as reader:
        for part in reader:
            for record in part if isinstance(part, list) else []:
                if record.cluster > 0:
                    fields = json.loads(record.body)
                    # Both halves of a record are of one write.
                    assert fields["v"] == -fields["w"]
                    found[RID(record.cluster, record.position)] = int(fields["v"])
    return int(json.loads(answer.output.strip().splitlines()[-1])["index"]), found


def test_an_export_under_load_is_the_store_at_its_index(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.client() as client:
        client.create_database("load")
        client.alter_schema("load", [SchemaChange(create_class=ClassDefinition(name="Thing"))])
        resting = rest(client)
        writers = [Writer(cluster.client(), seed) for seed in range(1, WRITERS + 1)]
        for writer in writers:
            writer.start()
        exports = []
        for number in range(EXPORTS):
            before = [writer.answers for writer in writers]
            exports.append(exported(cluster, tmp_path / f"{number}.json.gz"))
            # There was load: each of them wrote meanwhile.
            assert all(writer.answers > was for writer, was in zip(writers, before, strict=True))
        for writer in writers:
            writer.ended.set()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
            assert writer.failures == []
            writer.client.close()
        assert len({index for index, _ in exports}) == EXPORTS
        for index, found in exports:
            expected = {rid: value for writer in writers for rid, value in writer.expected(index).items()}
            assert found == resting | expected
