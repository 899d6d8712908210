"""What clients were told, and whether a snapshot is that history, cut at its mark."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

from quiesce import RID, Client
from quiesce.errors import OutcomeUnknown, QuiesceError
from quiesce.records import create, update
from quiesce.repository import SegmentReader, open_repository, verify_snapshot
from quiesce.snapshot.manifest import Manifest
from quiesce.snapshot.segment import decode_segment
from quiesce.snapshot.table import DATABASE_PAGE
from tests.scenarios.people import DATABASE, person


@dataclass(eq=False)
class RecordingWriter(threading.Thread):
    """Creates people and changes some of them; keeps the log index of every answer."""

    client: Client
    first: int
    created: dict[int, tuple[RID, int]] = field(default_factory=dict)
    changed: dict[RID, int] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self._random = random.Random(self.first)

    def run(self) -> None:
        number = self.first
        while not self.ended.wait(0.05):
            number += 1
            try:
                answer = self.client.write(DATABASE, [create(person(number), class_name="Person")])
                rid = RID.of(answer.written[0])
                self.created[number] = (rid, answer.index)
                if self._random.random() < 0.3:
                    fields = {"@class": "Person", **person(number, seen=True)}
                    self.changed[rid] = self.client.write(DATABASE, [update(rid, fields)]).index
            except OutcomeUnknown:
                self.unknown.add(number)
            except QuiesceError as error:
                self.failures.append(error.message())

    def wrong(self, found: dict[RID, int], mark: int) -> list[str]:
        """Return where a snapshot at `mark`, with these versions by record id, is not what was acknowledged."""
        complaints = []
        # A copy of a dict is taken in one go, its items are not: the writer goes on.
        for number, (rid, index) in self.created.copy().items():
            if (rid in found) is not (index <= mark):
                complaints.append(f"person {number} of index {index} is {'there' if rid in found else 'missing'}")
                continue
            change = self.changed.get(rid)
            known = rid in found and number not in self.unknown and change is not None
            if known and (found[rid] > 1) is not (self.changed[rid] <= mark):
                complaints.append(f"{rid} has version {found[rid]}, and its change index {change}")
        return complaints


def contents(repository: Path, snapshot_id: str) -> tuple[Manifest, dict[RID, int]]:
    """Check every object of a snapshot, and return its manifest and the version of every record of the database.

    Raises:
        QuiesceError: it does not restore.
    """
    opened = open_repository(repository)
    verify_snapshot(opened, snapshot_id, lambda _: None)
    manifest = opened.read_manifest(snapshot_id)
    table = opened.read_table(manifest)
    reader = SegmentReader(opened, manifest, table)
    found: dict[RID, int] = {}
    for row in table.rows:
        if row.cluster != DATABASE_PAGE and table.databases[row.database].name == DATABASE:
            for record in decode_segment(row.page, reader.read(row)):
                found[RID(row.cluster, record.position)] = record.version
    return manifest, found


def judge(repository: Path, snapshot_id: str, writers: list[RecordingWriter]) -> list[str]:
    """Return what is wrong with a snapshot; nothing where it is the history cut at its mark."""
    try:
        manifest, found = contents(repository, snapshot_id)
    except QuiesceError as error:
        return [f"{snapshot_id}: {error.message()}"]
    return [
        f"{snapshot_id}, mark {manifest.mark.index}: {text}"
        for writer in writers
        for text in writer.wrong(found, manifest.mark.index)
    ]
