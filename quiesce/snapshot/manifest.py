"""The manifest: what a snapshot is and which objects it needs. Format: docs/formats/snapshot.md, "Manifest"."""

from __future__ import annotations

from typing import Any

import msgspec

from quiesce.snapshot.identifier import is_snapshot_id
from quiesce.snapshot.malformed import MalformedObject
from quiesce.snapshot.sealed import seal, unseal

FORMAT_VERSION = 1


class ManifestMark(msgspec.Struct, frozen=True):
    """The entry of the Raft log up to which the snapshot goes; `time_ms` in log time, Unix milliseconds."""

    term: int
    index: int
    time_ms: int
    epoch: int


class DatabaseSummary(msgspec.Struct, frozen=True):
    """A database in the snapshot; `bytes_raw` of its segments before compression."""

    name: str
    id: int
    records: int
    segments: int
    bytes_raw: int


class TableSummary(msgspec.Struct, frozen=True):
    """The object of the page table, named by the BLAKE3-256 of its bytes."""

    digest: str
    size: int
    rows: int


class PackSummary(msgspec.Struct, frozen=True):
    """A pack that the page table points into, named by the BLAKE3-256 of its bytes."""

    digest: str
    size: int


class Totals(msgspec.Struct, frozen=True):
    """Sums over the snapshot, and what it cost: `read` from the checkpoint, `uploaded` to the repository."""

    records: int
    # Pages with at least one record, and database pages.
    pages: int
    # Pages that were not read, because their stamps said that the base has them.
    pages_reused: int
    # Pages that were read, but whose content the repository had.
    pages_matched: int
    pages_uploaded: int
    bytes_raw: int
    bytes_stored: int
    bytes_read: int
    bytes_uploaded: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot. What the worker cannot know is filled in by whoever publishes it."""

    snapshot_id: str
    cluster_id: str
    node_id: int
    mark: ManifestMark
    content_id: str
    # All databases of the cluster, rather than some that were asked for.
    complete: bool
    databases: list[DatabaseSummary]
    table: TableSummary
    packs: list[PackSummary]
    totals: Totals
    # The snapshot from which unchanged pages were taken over; this one does not need it any more.
    base: str | None
    # Unix milliseconds on the clock of the node, and of the coordinator.
    started_ms: int
    ended_ms: int
    # Cost to the clients, as the coordinator measured it.
    impact: dict[str, Any] | None = None
    # Digests of the state at the mark, by node id.
    attestations: dict[str, str] | None = None
    software: str = ""
    # Whose run it was, in the cluster `cluster_id`; empty: somebody asked for it.
    policy: str = ""
    format: int = FORMAT_VERSION


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as it lies in a repository."""
    document: dict[str, Any] = msgspec.to_builtins(manifest)
    return seal({"format": document.pop("format"), **document})


def encode_withdrawal(snapshot_id: str, why: str) -> bytes:
    """Return what lies in the place of the manifest of a snapshot that must not come any more."""
    return seal({"format": FORMAT_VERSION, "withdrawn": snapshot_id, "why": why})


def is_withdrawal(data: bytes) -> bool:
    """Say whether an object in the place of a manifest is a withdrawal."""
    try:
        return "withdrawn" in unseal(data)
    except MalformedObject:
        return False


def decode_manifest(data: bytes) -> Manifest:
    """Return the manifest in an object.

    Raises:
        MalformedObject: a byte of it was changed, or it is of a format that is not known here.
    """
    document = unseal(data)
    if document.get("format") != FORMAT_VERSION:
        raise MalformedObject(f"format {document.get('format')} is not known; this software knows {FORMAT_VERSION}")
    try:
        manifest = msgspec.convert(document, Manifest)
    except msgspec.ValidationError as error:
        raise MalformedObject(str(error)) from error
    if not is_snapshot_id(manifest.snapshot_id):
        raise MalformedObject(f"`{manifest.snapshot_id}` is not the id of a snapshot")
    return manifest
