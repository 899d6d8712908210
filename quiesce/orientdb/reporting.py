"""From the work of an import to its report."""

from __future__ import annotations

from quiesce.orientdb.checking import Findings
from quiesce.orientdb.import_progress import ImportReport
from quiesce.orientdb.plan import ImportPlan, Passage


def report_of(database: str, plan: ImportPlan, passage: Passage, findings: Findings) -> ImportReport:
    """Return what was imported, or would be."""
    found, options, check, dates = plan.found, plan.options, passage.check, passage.dates
    notes = [*found.notes, *_notes(plan, passage)]
    notes += [f"{one.record} cannot be imported: {one.reason}" for one in findings.unfit[:10]]
    return ImportReport(
        database=database,
        exporter_version=found.info.exporter_version,
        engine_version=found.info.engine_version,
        clusters={
            plan.names.get(one.id, one.name): found.counts[one.id] for one in found.clusters if found.counts.get(one.id)
        },
        classes=len(found.schema.classes),
        indexes=len(found.indexes),
        unmaintained_indexes=[one.definition.name for one in found.indexes if not one.definition.maintained],
        records=found.records,
        engine_records=found.engine_records,
        links=check.resolved,
        dangling=check.dangling,
        dangling_listed=check.listed,
        notes=notes,
        dry_run=options.dry_run,
        merged=options.merge,
        moved_clusters={old: new for old, new in plan.map.clusters.items() if old != new},
        shared_keys=findings.shared_count,
        shared_keys_listed=findings.shared,
        dates_turned=dates.turned,
        dates_kept=dates.kept,
    )


def _notes(plan: ImportPlan, passage: Passage) -> list[str]:
    options, dates = plan.options, passage.dates
    notes = [f"{one}" for one in options.without_effect]
    if not options.migrate_links and not plan.map.identity:
        notes.append(
            "record ids have changed and links have not (migrate-links is false): they may lead to other records"
        )
    if dates.turned:
        notes.append(f"{dates.turned:,} dates that the file has as text were read in the time zone {options.time_zone}")
    if dates.kept:
        notes.append(
            f"{dates.kept:,} texts look like dates, but nothing says that they are, or cannot be read; they stay "
            f"texts: {', '.join(dates.listed)}"
        )
    return notes
