"""Removes what no snapshot needs any more: lists it first, and sweeps what has been listed for the whole grace time.

May die anywhere, stand still anywhere, and run beside others of its kind; see docs/formats/repository.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quiesce.errors import DamagedObject, QuiesceError
from quiesce.repository import garbage, layout, notes
from quiesce.repository.publishing import objects_of
from quiesce.repository.repository import Repository

# Longer than any upload of one object takes, than clocks differ, and than a restore goes on that could write no pin.
GRACE_MS = 24 * 3_600_000
# A claim or a sweep of such an age is that of a dead process.
ABANDONED_MS = 30 * 24 * 3_600_000
# The removal of a snapshot takes seconds; as long as its note is there, nobody can pin the snapshot.
GIVEN_UP_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection has done: objects and bytes that were removed, and that wait for their time."""

    removed: tuple[str, ...] = ()
    removed_bytes: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    # Another one was at work, and this one left everything to it.
    superseded: bool = False


def collect(repository: Repository, now_ms: int, *, grace_ms: int = GRACE_MS, dry_run: bool = False) -> Collected:
    """List what nothing names, and remove what has been listed for `grace_ms`.

    Raises:
        DamagedObject: a manifest or a note cannot be read, so that nobody knows what is needed; nothing was removed.
    """
    objects = repository.objects
    sizes = {
        info.name: info.size
        for prefix in (layout.PACKS, layout.TABLES)
        for info in objects.list_objects(prefix)
        if layout.is_content(info.name)
    }
    before = garbage.newest_list(objects)
    writers = [w.value for w in notes.writers(objects).all()]
    found = garbage.unreferenced(sizes, _named(repository))
    new = garbage.next_list(before, found, now_ms)
    seen = [writer.seen for writer in writers if writer.until_ms > now_ms]
    due = garbage.due(new.objects, seen, now_ms=now_ms, grace_ms=grace_ms)
    removed: list[str] = sorted(due)
    if not dry_run:
        if new.objects != before.objects and not garbage.write_list(objects, new):
            return Collected(superseded=True)
        removed = _sweep(repository, due, now_ms)
        _tidy(repository, now_ms)
    waiting = found - set(removed)
    return Collected(
        tuple(removed), sum(sizes[name] for name in removed), len(waiting), sum(sizes[name] for name in waiting)
    )


def _named(repository: Repository) -> list[Iterable[str]]:
    # The claims first: one that is gone by then has become a manifest, or never will.
    claimed: list[Iterable[str]] = [claim.value.objects for claim in notes.claims(repository.objects).all()]
    return [*claimed, *map(objects_of, repository.list_snapshots())]


def _sweep(repository: Repository, due: set[str], now_ms: int) -> list[str]:
    if not due:
        return []
    objects, sweeps = repository.objects, notes.sweeps(repository.objects)
    sweep = sweeps.add("sweep", notes.Sweep(notes.who(), now_ms, sorted(due)))
    try:
        free = garbage.unreferenced(due, _named(repository))
    except QuiesceError:
        sweeps.remove(sweep)
        raise
    removed: list[str] = []
    for name in sorted(free):
        if sweeps.read(sweep) is None:
            # Taken for that of a dead process: others may use these names again.
            return removed
        objects.delete(name)
        removed.append(name)
    sweeps.remove(sweep)
    return removed


def _tidy(repository: Repository, now_ms: int) -> None:
    """Remove the notes of those who have died."""
    objects = repository.objects
    for writer in notes.writers(objects).all():
        if writer.value.until_ms <= now_ms:
            notes.writers(objects).remove(writer.name)
    for pin in notes.pins(objects).names():
        try:
            found = notes.pins(objects).read(pin[0])
        except DamagedObject:
            continue  # keeps its snapshot until somebody has looked at it
        if found is not None and found.until_ms is not None and found.until_ms <= now_ms:
            notes.pins(objects).remove(pin[0])
    for claim in notes.claims(objects).all():
        if claim.value.at_ms <= now_ms - ABANDONED_MS:
            notes.claims(objects).remove(claim.name)
    for sweep in notes.sweeps(objects).all():
        if sweep.value.at_ms <= now_ms - ABANDONED_MS:
            notes.sweeps(objects).remove(sweep.name)
    for removal in notes.removals(objects).all():
        if removal.value.at_ms <= now_ms - GIVEN_UP_MS:
            notes.removals(objects).remove(removal.name)
