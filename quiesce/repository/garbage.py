"""Which objects nothing needs, since when, and which of them may go. Pure, but for reading and writing the list."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from quiesce.errors import DamagedObject
from quiesce.repository import layout
from quiesce.repository.objects import ObjectStore
from quiesce.snapshot.malformed import MalformedObject
from quiesce.snapshot.sealed import seal, unseal

_TRIES = 100


class Candidate(msgspec.Struct, frozen=True):
    """An object that nothing has named since `since_ms`; `number` is that of the first list with it."""

    since_ms: int
    number: int


class GarbageList(msgspec.Struct, frozen=True):
    """What was seen unreferenced. Only the list of the highest number counts; 0: there is none yet."""

    number: int
    at_ms: int
    objects: dict[str, Candidate]


def unreferenced(there: Iterable[str], named: Iterable[Iterable[str]]) -> set[str]:
    """Return what is there and nothing names."""
    found = set(there)
    for names in named:
        found.difference_update(names)
    return found


def next_list(before: GarbageList, found: Collection[str], now_ms: int) -> GarbageList:
    """Return the list after `before`, when `found` is what nothing names now."""
    number = before.number + 1
    candidates = {}
    for name in sorted(found):
        known = before.objects.get(name)
        # A time that is still to come was noted by a clock that was wrong.
        candidates[name] = Candidate(min(known.since_ms, now_ms), known.number) if known else Candidate(now_ms, number)
    return GarbageList(number, now_ms, candidates)


def due(candidates: Mapping[str, Candidate], seen: Iterable[int], *, now_ms: int, grace_ms: int) -> set[str]:
    """Return what may be removed.

    `seen` are the numbers of the lists that the writers at work had before them when they chose what to reuse: what was
    listed later, they may have chosen.
    """
    last = min(seen, default=None)
    return {
        name
        for name, one in candidates.items()
        if one.since_ms <= now_ms - grace_ms and (last is None or one.number <= last)
    }


@dataclass(frozen=True, slots=True)
class ListObject:
    """The object of a garbage list."""

    name: str
    number: int


def list_objects(objects: ObjectStore) -> list[ListObject]:
    """Return the lists that are there, the newest last; all but that one are left over."""
    found = []
    for info in objects.list_objects(layout.GARBAGE):
        number = info.name.removeprefix(f"{layout.GARBAGE}/").removesuffix(".json")
        if number.isdigit():
            found.append(ListObject(info.name, int(number)))
    return sorted(found, key=lambda one: one.number)


def newest_list(objects: ObjectStore) -> GarbageList:
    """Return the list that counts.

    Raises:
        DamagedObject: it cannot be read.
    """
    for _ in range(_TRIES):
        there = list_objects(objects)
        if not there:
            return GarbageList(0, 0, {})
        try:
            return msgspec.convert(unseal(objects.get(there[-1].name)), GarbageList)
        except FileNotFoundError:
            continue  # a newer one has taken its place
        except (MalformedObject, msgspec.ValidationError) as error:
            raise DamagedObject(object=there[-1].name, repository=objects.location, detail=error) from error
    raise DamagedObject(object=layout.GARBAGE, repository=objects.location, detail="its lists change all the time")


def write_list(objects: ObjectStore, new: GarbageList) -> bool:
    """Write a list and remove those before it; return False where another collector was faster."""
    name = f"{layout.GARBAGE}/{new.number:012}.json"
    if not objects.put_new(name, seal(msgspec.to_builtins(new))):
        return False
    for old in list_objects(objects):
        if old.number < new.number:
            objects.delete(old.name)
    return True
