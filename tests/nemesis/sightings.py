"""A record as it was at known log indexes: versions never go back, and each has one value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sighting:
    """A record's version and value at a log index; `change` where this index made that version."""

    index: int
    version: int
    value: Any
    change: bool
    who: str


def contradictions(sightings: Iterable[Sighting]) -> list[str]:
    """Return what cannot be, in words: reads of the past included, at whatever node."""
    found: list[str] = []
    values: dict[int, Sighting] = {}
    latest: Sighting | None = None
    # A change comes before whatever else was seen at its index.
    for one in sorted(sightings, key=lambda each: (each.index, not each.change, each.version)):
        other = values.setdefault(one.version, one)
        if other.value != one.value:
            found.append(f"version {one.version} is both {_tell(other)} and {_tell(one)}")
        if latest is not None and one.version < latest.version:
            found.append(f"{_tell(one)}, but before that {_tell(latest)}")
        elif latest is not None and one.change and one.version == latest.version:
            found.append(f"{_tell(one)} made a version that was there before: {_tell(latest)}")
        elif latest is not None and one.index == latest.index and not latest.change and one.version != latest.version:
            found.append(f"one index, two versions: {_tell(latest)}, {_tell(one)}")
        if latest is None or one.version >= latest.version:
            latest = one
    return found


def _tell(one: Sighting) -> str:
    did = "wrote" if one.change else "saw"
    return f"{one.who} {did} version {one.version} = {one.value!r} at index {one.index}"
