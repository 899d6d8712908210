"""quiesce orientdb inspect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from quiesce.cli.output import Output, pass_output
from quiesce.cli.units import amount
from quiesce.orientdb.inspection import Inspection, inspect_export

SHOWN = 10


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@pass_output
def inspect(output: Output, file: Path) -> None:
    """Show what an export file holds: its version, sections, counts, types, links, and what is unusual in it.

    The whole file is read and checked; an error says what is wrong with it and where.
    """
    size = file.stat().st_size if file.is_file() else 0
    with output.progress("Inspect", total=size, binary=True) as bar:
        found = inspect_export(file, progress=lambda part: bar.update(int(part * size), size))
    output.result(_facts(file, found), "\n".join(_text(file, found)))


def _facts(file: Path, found: Inspection) -> dict[str, Any]:
    info, schema = found.survey.info, found.survey.schema
    return {
        "file": str(file.absolute()),
        "unpacked_bytes": found.unpacked_bytes,
        "engine_version": info.engine_version,
        "exporter_version": info.exporter_version,
        "sections": [{"name": name, "byte": byte} for name, byte in found.sections],
        "records": found.records,
        "engine_records": found.survey.engine_records,
        "blobs": found.blobs,
        "clusters": [
            {"id": one.id, "name": one.name, "records": found.by_cluster[one.id]} for one in found.survey.clusters
        ],
        "classes": [{"name": one.name, "records": found.by_class[one.name]} for one in schema.classes],
        "classless": found.by_class[""],
        "types": dict(found.types.most_common()),
        "indexes": [
            {
                "name": one.definition.name,
                "type": one.definition.type,
                "class": one.definition.class_name,
                "maintained": one.definition.maintained,
            }
            for one in found.survey.indexes
        ],
        "links": found.links,
        "dangling": found.dangling,
        "dangling_listed": [str(one) for one in found.dangling_listed],
        "irregularities": found.irregularities,
        "notes": found.survey.notes,
    }


def _text(file: Path, found: Inspection) -> Iterator[str]:
    survey = found.survey
    engine = f"OrientDB {survey.info.engine_version}" if survey.info.engine_version else "an unknown engine"
    yield f"{file}: {amount(found.unpacked_bytes, binary=True)} unpacked"
    yield f"Written by {engine}, exporter version {survey.info.exporter_version or 'unknown'}"
    yield f"Sections: {', '.join(name for name, _ in found.sections)}"
    own = f", {survey.engine_records:,} of them the engine's own" if survey.engine_records else ""
    yield f"Records: {found.records:,}{own}"
    yield from _list(
        f"Clusters: {len(survey.clusters)}",
        {f"{one.name} ({one.id})": found.by_cluster[one.id] for one in survey.clusters},
    )
    counts = {one.name: found.by_class[one.name] for one in survey.schema.classes}
    counts |= {"(no class)": found.by_class[""], "(blobs)": found.blobs}
    yield from _list(f"Classes: {len(survey.schema.classes)}", counts)
    yield from _list("Types", dict(found.types.most_common()))
    kinds: dict[str, int] = {}
    for one in survey.indexes:
        kind = one.definition.type + ("" if one.definition.maintained else ", kept for OrientDB and not used")
        kinds[kind] = kinds.get(kind, 0) + 1
    yield from _list(f"Indexes: {len(survey.indexes)}", kinds)
    yield f"Links: {found.links:,} lead to records, {found.dangling:,} to none"
    yield from _some(found.dangling_listed, found.dangling)
    yield from _list(f"Irregularities: {len(found.irregularities) or 'none'}", found.irregularities)
    yield from (f"Note: {note}" for note in survey.notes)


def _list(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    """A title, and below it what there is; what there is none of is left out."""
    yield title
    shown = {name: count for name, count in counts.items() if count}
    width = max((len(f"{count:,}") for count in shown.values()), default=0)
    yield from (f"  {count:>{width},}  {name}" for name, count in shown.items())


def _some(items: Iterable[object], count: int) -> Iterator[str]:
    for number, one in enumerate(items):
        if number == SHOWN:
            yield f"  … and {count - SHOWN:,} more; --output json lists the first 1,000"
            return
        yield f"  {one}"
