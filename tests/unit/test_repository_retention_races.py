"""Two processes at the moments that matter, in every order with two changes between them, and killed everywhere."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stepped_actors import Actor
from test_repository_retention_model import HOUR, World, no_power_is_lost

from quiesce.repository import layout
from quiesce.repository.collection import collect
from quiesce.repository.removal import keep_enough, remove_snapshot

pytestmark = pytest.mark.usefixtures("no_power_is_lost")
__all__ = ["no_power_is_lost"]

Begin = Callable[[World], None]
Start = Callable[[World], Actor]


# So many orders with two changes are tried of a race, besides all with one; 0: all.
MOST = int(os.environ.get("RETENTION_RACES", "25"))


def race(root: Path, prepare: Begin, first: Start, second: Start) -> None:
    """Run two processes from where `prepare` leaves the world, in many orders."""
    lengths = [_alone(root / f"alone-{number}", prepare, start) for number, start in enumerate((first, second))]
    assert min(lengths) > 2
    orders = [
        (swapped, kill, before, between)
        for swapped, kill in itertools.product((False, True), repeat=2)
        for before in range(lengths[swapped])
        for between in range(1, lengths[not swapped] + 1)
    ]
    if MOST:
        # Those with one change are few, and the worst.
        certain = [order for order in orders if not order[1] and order[3] == lengths[not order[0]]]
        orders = random.Random(len(orders)).sample(orders, min(MOST, len(orders))) + certain
    for number, (swapped, kill, before, between) in enumerate(orders):
        world = World(root / str(number), 7)
        prepare(world)
        starts = (second, first) if swapped else (first, second)
        one, other = (start(world) for start in starts)
        try:
            world.go_on(one, before)
            world.go_on(other, between)
            if kill:
                world.kill(one)
            else:
                world.go_on(one, 10_000)
            world.go_on(other, 10_000)
            world.judge()
            world.end()
        except BaseException as error:
            error.add_note(f"{one.name} {before}, {other.name} {between}, killed: {kill}")
            raise
        shutil.rmtree(world.root)


def _alone(root: Path, prepare: Begin, start: Start) -> int:
    """Return how many operations one does when it is alone."""
    world = World(root, 7)
    prepare(world)
    actor, done = start(world), 0
    while not actor.done:
        actor.step()
        done += 1
    return done


def make(world: World, policy: int = 0) -> str:
    world.writer(policy)
    world.go_on(world.actors[-1][0], 10_000)
    return max(world.seen)


def latest(world: World) -> Actor:
    return world.actors[-1][0]


def up_to(actor: Actor, operation: str) -> None:
    while not actor.next.startswith(operation):
        assert not actor.done, f"{actor.name} never came to {operation}"
        actor.step()


def remove(world: World, snapshot_id: str) -> None:
    world.asked_to_go.add(snapshot_id)
    remove_snapshot(world.repository, snapshot_id, keep_enough(world.repository), now_ms=world.now)


def collector(world: World) -> Actor:
    world.actors.append((Actor("collector", world.root, lambda there: collect(there, world.now)), world.now))
    return latest(world)


def test_a_writer_that_stood_still_for_a_day_publishes_what_is_being_swept(tmp_path: Path) -> None:
    """Its marker has expired, the base that it took its pages from is gone, and their time has come."""

    def prepare(world: World) -> None:
        make(world)
        world.writer(0)
        up_to(latest(world), "put claims/")
        remove(world, "s1")
        world.now += 25 * HOUR
        collect(world.repository, world.now)
        world.now += 25 * HOUR

    race(tmp_path, prepare, lambda world: world.actors[0][0], collector)

    def looked_once(world: World) -> None:
        prepare(world)
        up_to(collector(world), "put sweeps/")

    # The collector has found no claim; now it is about to look again.
    race(tmp_path / "again", looked_once, lambda world: world.actors[0][0], lambda world: world.actors[1][0])


def writer(world: World) -> Actor:
    world.writer(0)
    return latest(world)


def test_once_a_writer_has_announced_itself_nothing_goes_that_it_may_have_found(tmp_path: Path) -> None:
    number = 0
    for before in range(40):
        world = World(tmp_path / str(before), 7)
        make(world)
        remove(world, "s1")
        actor = writer(world)
        world.go_on(actor, before)
        if actor.done:
            break
        collect(world.repository, world.now)
        for _ in range(3):
            world.now += 7 * HOUR
            collect(world.repository, world.now, grace_ms=HOUR)
        # Fails if it cannot publish.
        world.go_on(actor, 10_000)
        world.end()
        number += 1
    assert number > 10


def test_a_writer_and_a_collector_that_lists(tmp_path: Path) -> None:
    def prepare(world: World) -> None:
        make(world)
        remove(world, "s1")

    race(tmp_path, prepare, writer, collector)


def test_a_writer_makes_anew_what_is_being_swept(tmp_path: Path) -> None:
    def prepare(world: World) -> None:
        make(world)
        remove(world, "s1")
        collect(world.repository, world.now)
        world.now += 25 * HOUR

    race(tmp_path, prepare, writer, collector)


def test_two_collectors(tmp_path: Path) -> None:
    def prepare(world: World) -> None:
        make(world)
        remove(world, "s1")
        collect(world.repository, world.now)
        world.now += 25 * HOUR

    race(tmp_path, prepare, collector, collector)


def test_a_collector_that_stood_still_wakes_up_when_its_garbage_is_made_anew(tmp_path: Path) -> None:
    """Another one has swept it meanwhile, and the content has come back."""

    def prepare(world: World) -> None:
        make(world)
        remove(world, "s1")
        collect(world.repository, world.now)
        world.now += 25 * HOUR
        up_to(collector(world), "delete packs/")
        collect(world.repository, world.now)
        collect(world.repository, world.now)

    def sleeper(world: World) -> Actor:
        return next(actor for actor, _ in world.actors if actor.name == "collector")

    race(tmp_path, prepare, writer, sleeper)


def one_snapshot(world: World) -> None:
    make(world)


def remover(snapshot_id: str) -> Start:
    def start(world: World) -> Actor:
        world.remover(sorted(world.seen).index(snapshot_id))
        return latest(world)

    return start


def test_the_last_two_of_a_policy_are_removed_at_the_same_time(tmp_path: Path) -> None:
    def prepare(world: World) -> None:
        make(world, 2)
        make(world, 2)

    race(tmp_path, prepare, remover("s1"), remover("s2"))


def test_a_snapshot_is_pinned_while_it_is_removed(tmp_path: Path) -> None:
    def pin(world: World) -> Actor:
        world.pin(0)
        return latest(world)

    race(tmp_path, one_snapshot, remover("s1"), pin)


def test_a_restore_begins_while_its_snapshot_is_removed(tmp_path: Path) -> None:
    def reader(world: World) -> Actor:
        world.reader(0)
        return latest(world)

    race(tmp_path, one_snapshot, remover("s1"), reader)


def test_a_publisher_that_came_too_late_says_so(tmp_path: Path) -> None:
    world = World(tmp_path / "w", 7)
    make(world)
    world.writer(0)
    actor = latest(world)
    up_to(actor, "put claims/")
    remove(world, "s1")
    for _ in range(2):
        world.now += 25 * HOUR
        collect(world.repository, world.now)
    world.now += 25 * HOUR
    collect(world.repository, world.now)
    world.go_on(actor, 10_000)
    assert "s2" not in world.seen
    assert not list(world.repository.objects.list_objects(layout.PACKS))
