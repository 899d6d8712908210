"""What `quiesce import` says: OrientDB's lines and a bar, and its report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from quiesce.cli.output import Output
from quiesce.cli.progress import Progress
from quiesce.errors import FileUnusable
from quiesce.orientdb import ImportProgress, ImportReport, SharedKey, Skipped, Survey
from quiesce.orientdb.progress_lines import ImportLines, Wording

SHOWN = 10
# So often an engine says how far it is.
ENGINE_EVERY_S = 5.0


class SkippedFile:
    """A file with a JSON object a line: section, record, byte, reason. Raises FileUnusable."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path = path
        try:
            self._file = stack.enter_context(path.open("wb"))
        except OSError as error:
            raise FileUnusable(file=path, detail=error.strerror or error) from error

    def add(self, skipped: dict[str, Any]) -> None:
        """Write a line."""
        try:
            self._file.write(msgspec.json.encode(skipped) + b"\n")
        except OSError as error:
            raise FileUnusable(file=self._path, detail=error.strerror or error) from error


class ImportShown(ImportProgress):
    """OrientDB's lines, and a bar."""

    def __init__(
        self,
        output: Output,
        stack: ExitStack,
        file: Path,
        database: str,
        skipped: SkippedFile | None = None,
        *,
        wording: Wording = Wording.MANUAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._output = output
        self._file = file
        self._database = database
        self._skipped = skipped
        self._lines = ImportLines(wording)
        self._survey: Survey | None = None
        self._clock = clock
        self._began_s = self._importing_s = self._said_s = clock()
        self._size = self._records = 0
        self._bars = stack.enter_context(ExitStack())
        self._title = ""
        self._bar: Progress | None = None

    def surveying(self, part: float) -> None:
        """Show how far the file is read."""
        self._reading("Check", "Checking the file...", part)

    def checking(self, part: float) -> None:
        """Show how far the file is read once more."""
        self._reading("Keys", "Checking keys and links...", part)

    def _reading(self, title: str, text: str, part: float) -> None:
        if self._title != title or self._bar is None:
            self._output.message(text)
            self._size = self._file.stat().st_size
            self._next(title, self._size, "bytes", binary=True)
        if self._bar is not None:
            self._bar.update(round(part * self._size))

    def _next(self, title: str, total: int, unit: str, *, binary: bool = False) -> None:
        self._bars.close()
        self._title = title
        self._bar = self._bars.enter_context(self._output.progress(title, total=total, unit=unit, binary=binary))

    def surveyed(self, survey: Survey) -> None:
        """Go on to the records."""
        self._bars.close()
        self._bar = None
        self._survey, self._records = survey, survey.records
        engine = f", exported by OrientDB {survey.info.engine_version}" if survey.info.engine_version else ""
        self._output.message(
            f"The file is whole: {survey.records:,} records, {len(survey.schema.classes)} classes, "
            f"{len(survey.indexes)} indexes{engine}."
        )

    def shared_key(self, shared: SharedKey) -> None:
        """Name two records with the same key."""
        self._output.message(f"Duplicate key: {shared}", shared_key=asdict(shared))

    def skipped(self, skipped: Skipped) -> None:
        """List what is passed over."""
        if self._skipped is not None:
            self._skipped.add(asdict(skipped))
        if self._output.json:
            self._output.message(f"Skipped: {skipped.record} {skipped.reason}", skipped=asdict(skipped))

    def written(self, records: int, total: int) -> None:
        """Move the bar."""
        self._importing()
        if self._bar is not None:
            self._bar.update(records, total)
        now_s = self._clock()
        if now_s - self._said_s >= ENGINE_EVERY_S:
            self._said_s = now_s
            self._say(self._lines.advanced(records, now_s - self._importing_s))

    def _say(self, lines: Iterable[str], **facts: Any) -> None:
        for line in lines:
            self._output.message(line, **facts)

    def _importing(self) -> None:
        if self._title != "Import":
            self._importing_s = self._said_s = self._clock()
            found = self._survey
            clusters = [(one.name, one.id, one.id) for one in found.clusters] if found else []
            classes = len(found.schema.classes) if found else 0
            self._say(self._lines.started(self._database, str(self._file), clusters, classes))
            self._next("Import", self._records, "records")

    def cluster_done(self, name: str, records: int) -> None:
        """Print the line that OrientDB prints."""
        self._importing()
        self._say(self._lines.cluster_done(name, records), cluster=name, records=records)

    def finished(self, report: ImportReport) -> None:
        """Print OrientDB's last lines."""
        now_s = self._clock()
        names = [one.definition.name for one in self._survey.indexes] if self._survey else []
        self._say(self._lines.records_done(report.records, now_s - self._importing_s, names))
        self._say(self._lines.finished(round((now_s - self._began_s) * 1000)))


def facts_of(report: ImportReport) -> dict[str, Any]:
    """Return a report as JSON has it."""
    facts = asdict(report)
    facts["dangling_listed"] = [str(one) for one in report.dangling_listed]
    return facts


def show(output: Output, report: ImportReport | dict[str, Any]) -> None:
    """Print what was imported."""
    facts = facts_of(report) if isinstance(report, ImportReport) else report
    output.result(facts, "\n".join(_lines(facts)))


def _lines(facts: dict[str, Any]) -> list[str]:
    done = "would be imported" if facts["dry_run"] else "has taken in the file" if facts["merged"] else "is imported"
    summary = (
        f"Database `{facts['database']}` {done}: {facts['records']:,} records in {len(facts['clusters'])} clusters, "
        f"{facts['classes']} classes, {facts['indexes']} indexes. {facts['links']:,} links lead to records."
    )
    lines = [summary]
    if facts["moved_clusters"]:
        moved = ", ".join(f"{old} to {new}" for old, new in list(facts["moved_clusters"].items())[:SHOWN])
        lines.append(f"Record ids have changed, and links with them: clusters {moved}.")
    if facts["shared_keys"]:
        lines.append(
            f"{facts['shared_keys']:,} keys of unique indexes belong to two records: it could not be imported."
        )
    if facts["skipped"]:
        lines.append(f"{facts['skipped']:,} records were skipped:")
        lines += [
            f"  {one['record']} at byte {one['byte']}: {one['reason']}" for one in _listed(facts["skipped_listed"])
        ]
    if facts["dangling"]:
        lines.append(f"{facts['dangling']:,} links lead to records that the file does not hold; they are kept:")
        lines += [f"  {one}" for one in facts["dangling_listed"][:SHOWN]]
        if facts["dangling"] > SHOWN:
            lines.append(f"  ... ({len(facts['dangling_listed']):,} of them with --output json)")
    if facts["unmaintained_indexes"]:
        lines.append(f"Kept as definitions only: {', '.join(facts['unmaintained_indexes'])}.")
    return lines + [f"Note: {note}." for note in facts["notes"]]


def _listed(found: list[Any]) -> list[Any]:
    return found[:SHOWN]
