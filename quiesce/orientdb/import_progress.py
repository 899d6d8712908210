"""What an import tells while it runs, and at its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from quiesce.orientdb.links import DanglingLink
from quiesce.orientdb.survey import Skipped, Survey
from quiesce.orientdb.unique_keys import SharedKey


class ImportProgress:
    """Told how an import goes on; does nothing. To be overridden."""

    def surveying(self, part: float) -> None:
        """The file is being read for the first time: 0 to 1."""

    def surveyed(self, survey: Survey) -> None:
        """The file is whole, and this is what it holds."""

    def checking(self, part: float) -> None:
        """Keys and links are being checked before anything is written: 0 to 1."""

    def shared_key(self, shared: SharedKey) -> None:
        """Two records have the same key of a unique index."""

    def skipped(self, skipped: Skipped) -> None:
        """A record cannot be imported and is passed over."""

    def written(self, records: int, total: int) -> None:
        """So many records are in the cluster."""

    def cluster_done(self, name: str, records: int) -> None:
        """A cluster of the file was read and written."""


@dataclass(slots=True)
class ImportReport:
    """What was imported; with `dry_run` what would be."""

    database: str
    exporter_version: int
    engine_version: str
    # Records by cluster name, clusters without records left out.
    clusters: dict[str, int]
    classes: int
    indexes: int
    # Definitions that are kept, but not kept up to date.
    unmaintained_indexes: list[str]
    records: int
    # Of OrientDB's own, such as the schema record; their content is in the sections.
    engine_records: int
    links: int
    dangling: int
    dangling_listed: list[DanglingLink] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dry_run: bool = False
    merged: bool = False
    # Records that have another id than in the file, by cluster id: `18` to `40`, or positions too.
    moved_clusters: dict[int, int] = field(default_factory=dict)
    # Keys of unique indexes that two records have, which only a dry run goes on with: how many, and the first of them.
    shared_keys: int = 0
    shared_keys_listed: list[SharedKey] = field(default_factory=list)
    skipped: int = 0
    skipped_listed: list[Skipped] = field(default_factory=list)
    # Dates that the file has as text and that are dates now; texts that may be dates and stay texts.
    dates_turned: int = 0
    dates_kept: int = 0
