"""A throw-away cluster in memory, which fails and waits as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from coordinator.drills.model import Checked, Request, Restored, Subject
from quiesce.errors import QuiesceError
from quiesce.repository import open_repository
from quiesce.snapshot import DatabaseSummary, Manifest, ManifestMark, PageTable, TableSummary, Totals, content_id

RECORDS = {"people": 10}


def put_snapshot(location: str, snapshot_id: str, records: Mapping[str, int] = RECORDS) -> None:
    """Put a manifest into a repository; of its pages nothing is there."""
    repository = open_repository(location)
    table = PageTable([], [], [])
    digest, size = repository.put_table(table)
    repository.publish_manifest(
        Manifest(
            snapshot_id=snapshot_id,
            cluster_id="fake",
            node_id=1,
            mark=ManifestMark(1, 50, 5, 7),
            content_id=content_id(table),
            complete=True,
            databases=[DatabaseSummary(name, 1, count, 1, 100) for name, count in records.items()],
            table=TableSummary(digest, size, 0),
            packs=[],
            totals=Totals(sum(records.values()), 0, 0, 0, 0, 500, 0, 0, 0),
            base=None,
            started_ms=1,
            ended_ms=2,
        )
    )


class FakeThrowaway:
    """`fail[name]` is what the call of that name raises; `gate`, once cleared, holds up the restore."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail: dict[str, QuiesceError] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.restoring = asyncio.Event()
        self.content_id = content_id(PageTable([], [], []))
        self.alive = 0

    def made_for(self, _request: Request) -> FakeThrowaway:
        return self

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fail:
            raise self.fail[name]

    async def start(self, subject: Subject) -> None:
        self.alive += 1
        self._called("start")

    async def restore(self, subject: Subject, advance: Callable[[int, int], None]) -> Restored:
        advance(1, 2)
        self.restoring.set()
        await self.gate.wait()
        self._called("restore")
        return Restored(records=10, index_entries=3)

    async def count(self) -> dict[str, int]:
        self._called("count")
        return dict(RECORDS)

    async def stop(self) -> None:
        self._called("stop")

    async def check(self, advance: Callable[[int, int], None]) -> Checked:
        self._called("check")
        return Checked(self.content_id, RECORDS, links=4, dangling_links=1)

    async def clean(self) -> None:
        self.alive = 0
        self._called("clean")
