"""What OrientDB's console prints while it exports and imports: events in, lines out.

Two wordings: that of OrientDB's manual, and that of the engines from 2.2 to 3.2 (ODatabaseExport, ODatabaseImport), whose
fragments are put together to lines here.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from quiesce.orientdb.layout import ExportPlan


class Wording(Enum):
    """Whose words."""

    MANUAL = auto()
    ENGINE = auto()


def dots(records: int) -> str:
    """Return the dots that an engine prints for the records of a cluster: one a tenth, none for ten and fewer."""
    step = records // 10
    return "." * ((records + 1) // step - 1 // step) if records > 10 else ""


class ExportLines:
    """The lines of one export."""

    def __init__(self, wording: Wording = Wording.MANUAL) -> None:
        self._engine = wording is Wording.ENGINE
        self._plan: ExportPlan | None = None
        self._records = 0

    def started(self, plan: ExportPlan) -> list[str]:
        """Return what is said before the first record."""
        self._plan, self._records = plan, 0
        options = plan.options
        lines = [f"Started export of database '{plan.database}' to {plan.file}..."] if self._engine else []
        if options.info:
            lines.append("Exporting database info...OK")
        if options.clusters and self._engine:
            lines.append(f"Exporting clusters...OK ({len(plan.clusters)} clusters)")
        if options.schema:
            lines.append(f"Exporting schema...OK ({plan.classes} classes)")
        if options.records:
            lines.append("Exporting records..." if self._engine else "Exporting clusters...")
        return lines

    def cluster_done(self, cluster: int, name: str, records: int) -> list[str]:
        """Return the line of a cluster."""
        self._records += records
        if self._engine:
            return [f"- Cluster '{name}' (id={cluster})...{dots(records)}OK (records={records}/{records})"]
        return [f"- Exporting cluster '{name}' (records={records}) -> {dots(records)}OK"]

    def records_done(self) -> list[str]:
        """Return what is said behind the last record."""
        plan = self._plan
        if plan is None or not self._engine:
            return []
        lines = []
        if plan.options.records:
            done = f"Done. Exported {self._records} of total {self._records} records."
            lines += ["", f"{done} 0 records were detected as broken", ""]
        if plan.options.indexes:
            lines += ["Exporting index info...", *(f"- Index {name}...OK" for name in plan.indexes)]
            lines.append(f"OK ({len(plan.indexes)} indexes)")
        if plan.options.indexes and plan.options.manual_indexes:
            lines.append("Exporting manual indexes content...")
            lines += [f"- Exporting index {name} ...OK (entries={entries})" for name, entries in plan.manual_indexes]
            lines.append(f"OK ({len(plan.manual_indexes)} manual indexes)")
        return lines

    def finished(self, elapsed_ms: int) -> list[str]:
        """Return the last lines."""
        if self._engine:
            return ["", f"Database export completed in {elapsed_ms}ms"]
        return ["Export of database completed."]


class ImportLines:
    """The lines of one import."""

    def __init__(self, wording: Wording = Wording.MANUAL) -> None:
        self._engine = wording is Wording.ENGINE

    def started(
        self, database: str, file: str, clusters: Iterable[tuple[str, int, int]], classes: int, *, info: bool = True
    ) -> list[str]:
        """Return what is said before the first record.

        Args:
            database: the new database.
            file: where it comes from.
            clusters: name, id, and the id in the file.
            classes: how many there are.
            info: the file has that section.
        """
        if not self._engine:
            return ["Importing records..."]
        lines = [f"Started import of database '{database}' from {file}..."]
        if info:
            lines.append("Importing database info...OK")
        made = [f"- Creating cluster '{name}'...OK, assigned id={now}, was {was}" for name, now, was in clusters]
        lines += ["Importing clusters...", *made, f"Done. Imported {len(made)} clusters"]
        return [*lines, f"Importing database schema...OK ({classes} classes)", "", "Importing records..."]

    def cluster_done(self, name: str, records: int) -> list[str]:
        """Return the line of a cluster; the engines say nothing of one."""
        return [] if self._engine else [f"- Imported records into the cluster '{name}': {records} records"]

    def advanced(self, records: int, elapsed_s: float) -> list[str]:
        """Return what an engine says every five seconds."""
        rate = records / elapsed_s if elapsed_s > 0 else 0.0
        return [f"- Imported {records:,} records ({rate:,.2f}/sec)"] if self._engine else []

    def records_done(self, records: int, elapsed_s: float, indexes: Iterable[str]) -> list[str]:
        """Return what is said behind the last record."""
        if not self._engine:
            return []
        made = [f"- Index '{name}'...OK" for name in indexes]
        done = f"Done. Imported {records:,} records in {elapsed_s:.2f} secs"
        return ["", done, "", "Importing indexes ...", *made, f"Done. Created {len(made)} indexes."]

    def finished(self, elapsed_ms: int) -> list[str]:
        """Return the last lines."""
        return ["", f"Database import completed in {elapsed_ms} ms"] if self._engine else []
