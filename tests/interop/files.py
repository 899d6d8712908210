"""The exports that go both ways between Quiesce and OrientDB."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "orientdb-exports"
EXAMPLES = ROOT / "examples"


def exports() -> list[Path]:
    """Return the export files that are on this machine, the project's own first; one of a name."""
    found = [*sorted(EXAMPLES.glob("*.json*")), *sorted(SHARED.glob("*.json*")), *sorted(SHARED.glob("*/*.json*"))]
    return list({path.name: path for path in reversed(found)}.values())[::-1]
