"""The OrientDB versions that an export can be written for, and what their importers need.

Each was tried with the engine named here, of which the file then says that it comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from quiesce.errors import InvalidExportOption


@dataclass(frozen=True, slots=True)
class Engine:
    """A version of OrientDB, as its exports give themselves."""

    version: str
    release: str
    exporter_version: int
    storage_config_version: int
    # Ids that clusters must have, because a new database of that version has these, and its importer cannot move them.
    fixed_clusters: tuple[tuple[str, int], ...] = ()
    # What index algorithms that came later are called here.
    algorithms: tuple[tuple[str, str], ...] = ()


_BEFORE_POLICIES: Final = (("orole", 4), ("ouser", 5))
_BEFORE_CELL_BTREE: Final = (("CELL_BTREE", "SBTREE"),)

ENGINES: Final = {
    one.version: one
    for one in (
        Engine("2.2", "2.2.37", 12, 18, _BEFORE_POLICIES, _BEFORE_CELL_BTREE),
        Engine("3.0", "3.0.43", 12, 22, _BEFORE_POLICIES, _BEFORE_CELL_BTREE),
        Engine("3.1", "3.1.20", 12, 23),
        Engine("3.2", "3.2.34", 13, 23),
    )
}
DEFAULT_ENGINE: Final = ENGINES["3.2"]


def engine(version: str) -> Engine:
    """Return an engine by its version, as in `3.2`. Raises InvalidExportOption."""
    try:
        return ENGINES[version]
    except KeyError:
        raise InvalidExportOption(option=f"version {version}", detail=f"known are {', '.join(ENGINES)}") from None
