"""What those who work on a repository tell each other: small sealed objects, each written once by its owner.

Formats and the rules by which they are used: docs/formats/repository.md, "Who works at the same time".
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from quiesce.errors import DamagedObject
from quiesce.repository import layout
from quiesce.repository.objects import ObjectStore
from quiesce.snapshot.malformed import MalformedObject
from quiesce.snapshot.sealed import seal, unseal

_END = ".json"


class Pin(msgspec.Struct, frozen=True):
    """A snapshot is to stay. `until_ms` None: until somebody takes the pin away."""

    snapshot_id: str
    reason: str
    by: str
    at_ms: int
    until_ms: int | None = None


class Writer(msgspec.Struct, frozen=True):
    """A snapshot is being made; `seen` is the number of the garbage list from before it chose what to reuse."""

    snapshot_id: str
    by: str
    at_ms: int
    until_ms: int
    seen: int


class Claim(msgspec.Struct, frozen=True):
    """A manifest that names these objects is about to be published."""

    snapshot_id: str
    by: str
    at_ms: int
    objects: list[str]


class Removal(msgspec.Struct, frozen=True):
    """The manifest of a snapshot is about to be removed."""

    snapshot_id: str
    by: str
    at_ms: int


class Sweep(msgspec.Struct, frozen=True):
    """These objects are about to be removed, unless a manifest or a claim turns out to name them."""

    by: str
    at_ms: int
    objects: list[str]


Note = TypeVar("Note", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Noted(Generic[Note]):
    """A note, the name of its object, and what it is about."""

    name: str
    subject: str
    value: Note


class Notes(Generic[Note]):
    """The notes of one kind; `prefix` is where they lie."""

    def __init__(self, objects: ObjectStore, kind: type[Note], prefix: str) -> None:
        self._objects = objects
        self._kind = kind
        self._prefix = prefix

    def add(self, subject: str, value: Note) -> str:
        """Write a note durably, under a name that nobody else has; return the name."""
        name = f"{self._prefix}/{subject}.{secrets.token_hex(8)}{_END}"
        self._objects.put_new(name, seal(msgspec.to_builtins(value)))
        return name

    def names(self, subject: str = "") -> list[tuple[str, str]]:
        """Return (name, subject) of all notes, or of those about a subject; none is read."""
        found = []
        for info in self._objects.list_objects(self._prefix):
            about = info.name.removeprefix(f"{self._prefix}/").partition(".")[0]
            if info.name.endswith(_END) and subject in ("", about):
                found.append((info.name, about))
        return found

    def all(self, subject: str = "") -> list[Noted[Note]]:
        """Return the notes about a subject, or all.

        Raises:
            DamagedObject: one cannot be read, and nobody knows what it asks for.
        """
        read = ((name, about, self.read(name)) for name, about in self.names(subject))
        return [Noted(name, about, value) for name, about, value in read if value is not None]

    def read(self, name: str) -> Note | None:
        """Return a note, None where it is gone.

        Raises:
            DamagedObject: it cannot be read.
        """
        try:
            return msgspec.convert(unseal(self._objects.get(name)), self._kind)
        except FileNotFoundError:
            return None
        except (MalformedObject, msgspec.ValidationError) as error:
            raise DamagedObject(object=name, repository=self._objects.location, detail=error) from error

    def remove(self, name: str) -> None:
        """Remove a note; that it is gone already is no error."""
        self._objects.delete(name)


def pins(objects: ObjectStore) -> Notes[Pin]:
    """Return the pins of a repository."""
    return Notes(objects, Pin, layout.PINS)


def writers(objects: ObjectStore) -> Notes[Writer]:
    """Return the writers that are at work on a repository."""
    return Notes(objects, Writer, layout.WRITERS)


def claims(objects: ObjectStore) -> Notes[Claim]:
    """Return the claims of manifests that are being published."""
    return Notes(objects, Claim, layout.CLAIMS)


def removals(objects: ObjectStore) -> Notes[Removal]:
    """Return the removals of snapshots that are under way."""
    return Notes(objects, Removal, layout.REMOVALS)


def sweeps(objects: ObjectStore) -> Notes[Sweep]:
    """Return the sweeps that are under way."""
    return Notes(objects, Sweep, layout.SWEEPS)


def who() -> str:
    """Return what this process calls itself in a note: for people only."""
    return f"process {os.getpid()} on {socket.gethostname()}"
