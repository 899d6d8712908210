"""What drills have found of snapshots, as it lies beside them; docs/formats/repository.md, "Drill records"."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from quiesce.errors import DamagedObject, RepositoryUnusable
from quiesce.repository import layout
from quiesce.repository.repository import Repository
from quiesce.snapshot.malformed import MalformedObject
from quiesce.snapshot.sealed import seal, unseal

FORMAT_VERSION = 1


class DrillError(msgspec.Struct, frozen=True):
    """Why a snapshot failed; see docs/errors.md."""

    reason: str
    message: str


class DrillRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A drill of a snapshot. Times are Unix milliseconds on the coordinator's clock."""

    drill_id: str
    snapshot_id: str
    content_id: str
    # Whether the snapshot was restored, and was what its manifest says.
    verified: bool
    started_ms: int
    ended_ms: int
    # Milliseconds by step.
    parts: dict[str, int]
    records: int = 0
    bytes_raw: int = 0
    index_entries: int = 0
    links: int = 0
    dangling_links: int = 0
    error: DrillError | None = None
    software: str = ""
    format: int = FORMAT_VERSION


def encode_drill(record: DrillRecord) -> bytes:
    """Return the record as it lies in a repository."""
    document: dict[str, Any] = msgspec.to_builtins(record)
    return seal({"format": document.pop("format"), **document})


def decode_drill(data: bytes) -> DrillRecord:
    """Return the record in an object.

    Raises:
        MalformedObject: a byte of it was changed, or it is of a format that is not known here.
    """
    document = unseal(data)
    if document.get("format") != FORMAT_VERSION:
        raise MalformedObject(f"format {document.get('format')} is not known; this software knows {FORMAT_VERSION}")
    try:
        return msgspec.convert(document, DrillRecord)
    except msgspec.ValidationError as error:
        raise MalformedObject(str(error)) from error


def put_drill(repository: Repository, record: DrillRecord) -> None:
    """Put a record beside its snapshot; the very same one twice is no error: the first answer may have been lost.

    Raises:
        RepositoryFull, RepositoryUnusable: it was not written.
    """
    name, data = layout.drill(record.snapshot_id, _moment(record.ended_ms), record.drill_id), encode_drill(record)
    if not repository.objects.put_new(name, data) and repository.objects.get(name) != data:
        raise RepositoryUnusable(repository=repository.location, detail=f"{name} is there already, and says otherwise")


def verified_times(
    repository: Repository, snapshots: Iterable[str], on_damage: Callable[[DamagedObject], None] = lambda _: None
) -> dict[str, int]:
    """Return when each of the snapshots was verified, Unix milliseconds, unless its latest drill has failed.

    `on_damage` is told of records that cannot be read; the ones before them count.
    """
    names: defaultdict[str, list[str]] = defaultdict(list)
    for found in repository.objects.list_objects(layout.DRILLS):
        snapshot_id = layout.drilled_snapshot(found.name)
        if snapshot_id is not None:
            names[snapshot_id].append(found.name)
    latest = ((snapshot_id, _latest(repository, names[snapshot_id], on_damage)) for snapshot_id in snapshots)
    return {snapshot_id: record.ended_ms for snapshot_id, record in latest if record is not None and record.verified}


def _latest(repository: Repository, names: list[str], on_damage: Callable[[DamagedObject], None]) -> DrillRecord | None:
    # Their names begin with their times.
    for name in sorted(names, reverse=True):
        try:
            record = decode_drill(repository.objects.get(name))
        except FileNotFoundError:
            continue
        except MalformedObject as error:
            on_damage(repository.damaged(name, error))
            continue
        if name == layout.drill(record.snapshot_id, _moment(record.ended_ms), record.drill_id):
            return record
        on_damage(repository.damaged(name, f"it is the record of drill {record.drill_id} of {record.snapshot_id}"))
    return None


def _moment(unix_ms: int) -> str:
    at = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return f"{at:%Y%m%dT%H%M%S}.{unix_ms % 1000:03}Z"
