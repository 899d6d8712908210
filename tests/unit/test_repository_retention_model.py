"""Whatever writers, removers, collectors and readers do at the same time, wherever they die or stand still: each
snapshot that is there is whole, what is pinned or the last of its policy is there, and in the end no garbage is left.
"""

from __future__ import annotations

import contextlib
import copy
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from snapshot_fakes import MemoryStore
from stepped_actors import Actor

from nodes.rate_limit import RateLimit
from nodes.worker.base import find_known
from nodes.worker.snapshot import SnapshotMaker, SnapshotRequest
from quiesce.errors import (
    DamagedObject,
    LastSnapshot,
    SnapshotBeingRemoved,
    SnapshotObjectGone,
    SnapshotPinned,
    UnknownSnapshot,
)
from quiesce.repository import Repository, layout, notes, open_repository, verify_snapshot
from quiesce.repository.collection import ABANDONED_MS, collect
from quiesce.repository.pins import HOLD_MS, pin, unpin
from quiesce.repository.publishing import first_missing, objects_of, publish
from quiesce.repository.removal import keep_enough, remove_snapshot
from quiesce.repository.writing import WRITER_MS, Writing
from quiesce.snapshot import PAGE_POSITIONS, ManifestMark
from quiesce.v1.database_pb2 import DATABASE_STATE_ONLINE, Cluster, Database

HOUR = 3_600_000
START = 1_795_000_000_000
POLICIES = ("", "", "nightly", "")
NOTES = (layout.CLAIMS, layout.WRITERS, layout.SWEEPS, layout.REMOVALS, layout.PINS)

# What happens, and how often.
HAPPENINGS = {
    "goes on": 24,
    "writer": 6,
    "collector": 6,
    "remover": 4,
    "pin": 2,
    "unpin": 2,
    "reader": 2,
    "change": 4,
    "garbage": 2,
    "time": 2,
    "kill": 1,
}


def small_store() -> MemoryStore:
    store = MemoryStore()
    store.add_database(
        Database(name="d", state=DATABASE_STATE_ONLINE, clusters=[Cluster(id=3, name="c", next_position=10_000)])
    )
    for page in range(2):
        store.put(1, 3, page * PAGE_POSITIONS, b'{"n":0}')
    return store


class World:
    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.repository = open_repository(self.root, create=True)
        self.store = small_store()
        self.now = START
        self.actors: list[tuple[Actor, int]] = []
        self.numbers = 0
        self.seen: set[str] = set()
        self.asked_to_go: set[str] = set()
        self.pinned: set[str] = set()
        # Snapshot and end of the pin, by who reads it.
        self.reading: dict[str, tuple[str, int]] = {}
        self.policies_with_snapshot: set[str] = set()

    # --- what happens

    def happen(self) -> None:
        """Let something happen."""
        rng = self.random
        which = rng.randrange(1_000)
        what = rng.choices(
            list(HAPPENINGS),
            list(HAPPENINGS.values()),
        )[0]
        if what in ("goes on", "kill"):
            if self.actors:
                actor = rng.choice(self.actors)[0]
                if what == "kill":
                    self.kill(actor)
                else:
                    self.go_on(actor, rng.choice((1, 2, 3, 5, 8, 13, 21, 100)))
        elif what == "change":
            self.store.put(1, 3, rng.randrange(2) * PAGE_POSITIONS, b'{"n":%d}' % rng.randrange(3))
        elif what == "garbage":
            self.garbage_comes_to_its_time()
        elif what == "time":
            self.time_goes_by(rng.choice((1, 13, 25)))
        else:
            getattr(self, what)(which)
            if self.actors and rng.random() < 0.4:
                self.go_on(self.actors[-1][0], 1_000)
        self.judge()

    def garbage_comes_to_its_time(self) -> None:
        """Whatever may go is removed and listed, and a day and an hour go by."""
        for snapshot_id in sorted(self.seen):
            self.asked_to_go.add(snapshot_id)
            with contextlib.suppress(SnapshotPinned, LastSnapshot):
                remove_snapshot(self.repository, snapshot_id, keep_enough(self.repository), now_ms=self.now)
        collect(self.repository, self.now)
        self.time_goes_by(25)

    def time_goes_by(self, hours: int) -> None:
        # Nothing is promised to who stands still for a month.
        oldest = min((started for _, started in self.actors), default=self.now)
        if self.now + hours * HOUR - oldest < ABANDONED_MS:
            self.now += hours * HOUR

    # --- who does it

    def writer(self, which: int) -> None:
        self.numbers += 1
        snapshot_id, store, started = f"s{self.numbers}", copy.deepcopy(self.store), self.now

        def work(repository: Repository) -> None:
            writing = Writing(repository, snapshot_id, lambda: self.now)
            mark = ManifestMark(store.term, store.index, self.now, 5)
            known = find_known(repository, "c1", mark, ["d"], lambda _: None, writing.avoid)
            maker = SnapshotMaker(store, repository, known, RateLimit(0), lambda _: writing.keep())
            draft = maker.run(SnapshotRequest(snapshot_id, "c1", 2, mark), started_ms=self.now)
            try:
                policy = POLICIES[which % len(POLICIES)]
                publish(repository, msgspec.structs.replace(draft, policy=policy), self.now)
            except SnapshotObjectGone:
                assert self.now - started >= WRITER_MS, "a writer that was not late could not publish"

        # What it was to reuse may go where it stands still for a day.
        self.start(f"writer of {snapshot_id}", work, DamagedObject)

    def collector(self, which: int) -> None:
        grace_ms = (1, 24)[which % 2] * HOUR
        self.start("collector", lambda repository: collect(repository, self.now, grace_ms=grace_ms))

    def remover(self, which: int) -> None:
        snapshot_id = self.pick(which)
        self.asked_to_go.add(snapshot_id)

        def work(repository: Repository) -> None:
            remove_snapshot(repository, snapshot_id, keep_enough(repository), now_ms=self.now)

        self.start(f"remover of {snapshot_id}", work, SnapshotPinned, LastSnapshot, SnapshotBeingRemoved)

    def pin(self, which: int) -> None:
        snapshot_id = self.pick(which)
        if self.at_work(f"unpin of {snapshot_id}"):
            return

        def work(repository: Repository) -> None:
            pin(repository, snapshot_id, "audit", by="me", now_ms=self.now)
            self.pinned.add(snapshot_id)

        self.start(f"pin of {snapshot_id}", work, SnapshotBeingRemoved, UnknownSnapshot)

    def unpin(self, which: int) -> None:
        snapshot_id = self.pick(which)
        # Of two who say the opposite at the same time, either may be right.
        if self.at_work(f"pin of {snapshot_id}"):
            return
        self.pinned.discard(snapshot_id)
        self.start(f"unpin of {snapshot_id}", lambda repository: unpin(repository, snapshot_id))

    def reader(self, which: int) -> None:
        snapshot_id, until = self.pick(which), self.now + HOLD_MS

        def work(repository: Repository) -> None:
            name = pin(repository, snapshot_id, "restore", by="a node", now_ms=self.now, until_ms=until)
            self.reading[reader] = (snapshot_id, until)
            with contextlib.suppress(DamagedObject, UnknownSnapshot):
                verify_snapshot(repository, snapshot_id)
                del self.reading[reader]
                notes.pins(repository.objects).remove(name)
                return
            assert self.now >= until, "what was being read has gone"

        self.numbers += 1
        reader = f"reader {self.numbers} of {snapshot_id}"
        self.start(reader, work, SnapshotBeingRemoved, UnknownSnapshot)

    def go_on(self, actor: Actor, operations: int) -> None:
        while operations and not actor.done:
            actor.step()
            self.judge()
            operations -= 1

    def kill(self, actor: Actor) -> None:
        actor.kill()
        self.reading.pop(actor.name, None)

    # --- what must hold

    def at_work(self, name: str) -> bool:
        return any(actor.name == name for actor, _ in self.actors)

    def start(self, name: str, work: Callable[[Repository], object], *errors: type[Exception]) -> None:
        def run(repository: Repository) -> None:
            with contextlib.suppress(*errors):
                work(repository)

        self.actors.append((Actor(name, self.root, run), self.now))

    def pick(self, which: int) -> str:
        return sorted(self.seen)[which % len(self.seen)] if self.seen else "none"

    def judge(self) -> None:
        for actor, _ in self.actors:
            assert actor.error is None, f"{actor.name}: {actor.error}"
        self.actors = [(actor, started) for actor, started in self.actors if not actor.done]
        manifests = {manifest.snapshot_id: manifest for manifest in self.repository.list_snapshots()}
        sizes = self.repository.pack_sizes()
        for manifest in manifests.values():
            assert first_missing(self.repository, manifest, sizes) is None, f"{manifest.snapshot_id} is not whole"
        self.seen |= set(manifests)
        self.policies_with_snapshot |= {manifest.policy for manifest in manifests.values()} - {""}
        held = {snapshot for snapshot, until in self.reading.values() if until > self.now}
        assert self.seen - self.asked_to_go <= set(manifests)
        assert self.pinned <= set(manifests), "what is pinned is gone"
        assert held <= set(manifests), "what is read is gone"
        there = {manifest.policy for manifest in manifests.values()}
        assert self.policies_with_snapshot <= there, "the last one of a policy is gone"

    def end(self) -> None:
        """All die; two months later nothing is left but what is promised."""
        for actor, _ in self.actors:
            actor.kill()
        for manifest in self.repository.list_snapshots():
            verify_snapshot(self.repository, manifest.snapshot_id)
        for _ in range(3):
            self.now += ABANDONED_MS + HOUR
            collect(self.repository, self.now)
        manifests = self.repository.list_snapshots()
        for manifest in manifests:
            verify_snapshot(self.repository, manifest.snapshot_id)
        needed = {name for manifest in manifests for name in objects_of(manifest)}
        there = {
            info.name
            for prefix in (layout.PACKS, layout.TABLES)
            for info in self.repository.objects.list_objects(prefix)
        }
        assert there == needed, "garbage is left"
        for found in notes.pins(self.repository.objects).all():
            assert found.value.until_ms is None
            notes.pins(self.repository.objects).remove(found.name)
        assert not [info.name for prefix in NOTES for info in self.repository.objects.list_objects(prefix)]


@pytest.fixture
def no_power_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


SEEDS = range(int(os.environ.get("RETENTION_SEEDS", "60")))


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("no_power_is_lost")
def test_what_is_promised_stays_and_what_is_not_goes(tmp_path: Path) -> None:
    for seed in SEEDS:
        try:
            world = World(tmp_path / str(seed), seed)
            for _ in range(60):
                world.happen()
            world.end()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        shutil.rmtree(world.root)
