"""Names of the objects in a repository; see docs/formats/repository.md."""

from __future__ import annotations

FORMAT = "format.json"
SNAPSHOTS = "snapshots"
PACKS = "packs"
TABLES = "tables"
# Named for what they tell: a snapshot is verified or not.
DRILLS = "verified"
# What those who work on the repository tell each other.
PINS = "pins"
WRITERS = "writers"
CLAIMS = "claims"
REMOVALS = "removals"
GARBAGE = "garbage"
SWEEPS = "sweeps"
_MANIFEST = ".manifest"
_PACK = ".pack"
_TABLE = ".table"
_DRILL = ".drill"


def pack(digest: str) -> str:
    """Return the name of a pack."""
    return f"{PACKS}/{digest[:2]}/{digest}{_PACK}"


def table(digest: str) -> str:
    """Return the name of a page table."""
    return f"{TABLES}/{digest[:2]}/{digest}{_TABLE}"


def manifest(snapshot_id: str) -> str:
    """Return the name of a snapshot's manifest."""
    return f"{SNAPSHOTS}/{snapshot_id}{_MANIFEST}"


def snapshot_of(name: str) -> str | None:
    """Return the snapshot id in the name of a manifest, None for any other name."""
    id_and_end = name.removeprefix(f"{SNAPSHOTS}/")
    if not id_and_end.endswith(_MANIFEST) or "/" in id_and_end:
        return None
    return id_and_end.removesuffix(_MANIFEST)


def pack_of(name: str) -> str | None:
    """Return the digest in the name of a pack, None for any other name."""
    digest = name.rpartition("/")[2].removesuffix(_PACK)
    return digest if name == pack(digest) else None


def drill(snapshot_id: str, ended: str, drill_id: str) -> str:
    """Return the name of the record of a drill that ended at `ended`; a snapshot's names are in the order of time."""
    return f"{DRILLS}/{snapshot_id}/{ended}-{drill_id}{_DRILL}"


def drilled_snapshot(name: str) -> str | None:
    """Return the snapshot id in the name of a drill's record, None for any other name."""
    parts = name.split("/")
    return parts[1] if len(parts) == 3 and parts[0] == DRILLS and name.endswith(_DRILL) else None


def is_content(name: str) -> bool:
    """Return whether it is the name of a pack or of a page table."""
    digest = name.rpartition("/")[2].partition(".")[0]
    return name in (pack(digest), table(digest))
