"""Snapshots that are to stay: because somebody says so, or because they are being read."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from quiesce.errors import (
    DamagedObject,
    QuiesceError,
    RepositoryFull,
    RepositoryUnusable,
    SnapshotBeingRemoved,
    UnknownSnapshot,
)
from quiesce.repository import layout, notes
from quiesce.repository.notes import Noted, Pin
from quiesce.repository.repository import Repository

# Longer than clocks of machines differ. A reader that is dead keeps its snapshot for so long.
HOLD_MS = 3_600_000


def clock_ms() -> int:
    """Return the time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


def pin(
    repository: Repository, snapshot_id: str, reason: str, *, by: str, now_ms: int, until_ms: int | None = None
) -> str:
    """Keep a snapshot, and return the name of the pin; the same pin twice is one.

    Announce, then look: whoever removes a snapshot writes that down first, then reads the pins.

    Raises:
        UnknownSnapshot: there is none of that id.
        SnapshotBeingRemoved: it may be gone in a moment.
    """
    repository.read_manifest(snapshot_id)
    pins = notes.pins(repository.objects)
    value = Pin(snapshot_id, reason, by, now_ms, until_ms)
    if until_ms is None:
        for name, _ in pins.names(snapshot_id):
            with contextlib.suppress(DamagedObject):
                found = pins.read(name)
                if found is not None and (found.reason, found.by, found.until_ms) == (reason, by, None):
                    return name
    name = pins.add(snapshot_id, value)
    try:
        for removal in notes.removals(repository.objects).all(snapshot_id):
            raise SnapshotBeingRemoved(snapshot_id=snapshot_id, repository=repository.location, by=removal.value.by)
        if not exists(repository, snapshot_id):
            raise UnknownSnapshot(snapshot_id=snapshot_id, repository=repository.location)
    except QuiesceError:
        pins.remove(name)
        raise
    return name


def unpin(repository: Repository, snapshot_id: str) -> int:
    """Take away the pins that somebody has put on a snapshot, not those of running restores; return how many."""
    pins = notes.pins(repository.objects)
    # Also one that cannot be read: whoever says this has decided.
    gone = [name for name, _ in pins.names(snapshot_id) if _until(repository, name) is None]
    for name in gone:
        pins.remove(name)
    return len(gone)


def _until(repository: Repository, name: str) -> int | None:
    try:
        found = notes.pins(repository.objects).read(name)
    except DamagedObject:
        return None
    return None if found is None else found.until_ms


def live_pins(repository: Repository, now_ms: int, snapshot_id: str = "") -> list[Noted[Pin]]:
    """Return the pins that hold now; one that cannot be read holds, too."""
    pins, found = notes.pins(repository.objects), []
    for name, about in pins.names(snapshot_id):
        try:
            value = pins.read(name)
        except DamagedObject:
            value = Pin(about, f"its pin {name} cannot be read", "somebody", 0)
        if value is not None and (value.until_ms is None or value.until_ms > now_ms):
            found.append(Noted(name, about, value))
    return found


def pin_reasons(repository: Repository, now_ms: int, snapshot_id: str = "") -> dict[str, str]:
    """Return why snapshots are pinned, by id."""
    reasons: dict[str, list[str]] = {}
    for found in live_pins(repository, now_ms, snapshot_id):
        reasons.setdefault(found.subject, []).append(f"{found.value.reason} ({found.value.by})")
    return {one: "; ".join(why) for one, why in reasons.items()}


def exists(repository: Repository, snapshot_id: str) -> bool:
    """Return whether there is a manifest of that id, whole or not."""
    try:
        repository.objects.size(layout.manifest(snapshot_id))
    except FileNotFoundError:
        return False
    return True


@contextlib.contextmanager
def held(
    repository: Repository,
    snapshot_id: str,
    reason: str,
    *,
    unprotected: Callable[[QuiesceError], None],
    clock: Callable[[], int] = clock_ms,
    hold_ms: int = HOLD_MS,
) -> Iterator[None]:
    """Keep a snapshot while the block reads it; a thread renews the pin.

    A repository that takes no writes can be read all the same: `unprotected` is told.

    Raises:
        UnknownSnapshot, SnapshotBeingRemoved: see `pin`.
    """

    def take() -> str:
        now_ms = clock()
        return pin(repository, snapshot_id, reason, by=notes.who(), now_ms=now_ms, until_ms=now_ms + hold_ms)

    try:
        name = take()
    except (RepositoryUnusable, RepositoryFull) as error:
        unprotected(error)
        yield
        return
    ended = threading.Event()

    def renew() -> None:
        nonlocal name
        while not ended.wait(hold_ms / 6_000):
            # It holds for some more rounds, should this one fail.
            with contextlib.suppress(QuiesceError):
                before, name = name, take()
                notes.pins(repository.objects).remove(before)

    renewing = threading.Thread(target=renew, name="pin", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join(5.0)
        # Otherwise it ends by itself.
        with contextlib.suppress(QuiesceError):
            notes.pins(repository.objects).remove(name)
