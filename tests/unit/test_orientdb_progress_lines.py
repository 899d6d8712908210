"""quiesce.orientdb.progress_lines: what OrientDB's console says, in two wordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from quiesce.orientdb import ExportOptions, ExportPlan, parse_export_options
from quiesce.orientdb.progress_lines import ExportLines, ImportLines, Wording, dots


def said(wording: Wording, options: ExportOptions) -> list[str]:
    plan = ExportPlan(
        database="shop",
        file=Path("/x/shop.json.gz"),
        options=options,
        clusters=((0, "internal", 0), (12, "city", 20)),
        classes=18,
        indexes=("City.name",),
        manual_indexes=(("manual1", 2),),
    )
    lines = ExportLines(wording)
    found = lines.started(plan)
    if options.records:
        for one in plan.clusters:
            found += lines.cluster_done(*one)
    return found + lines.records_done() + lines.finished(598)


def test_as_the_manual_has_it() -> None:
    assert said(Wording.MANUAL, ExportOptions()) == [
        "Exporting database info...OK",
        "Exporting schema...OK (18 classes)",
        "Exporting clusters...",
        "- Exporting cluster 'internal' (records=0) -> OK",
        "- Exporting cluster 'city' (records=20) -> ..........OK",
        "Export of database completed.",
    ]


def test_as_the_engines_say_it() -> None:
    # What 3.2.33 said of such a database, but for its own records in `internal`.
    assert said(Wording.ENGINE, ExportOptions()) == [
        "Started export of database 'shop' to /x/shop.json.gz...",
        "Exporting database info...OK",
        "Exporting clusters...OK (2 clusters)",
        "Exporting schema...OK (18 classes)",
        "Exporting records...",
        "- Cluster 'internal' (id=0)...OK (records=0/0)",
        "- Cluster 'city' (id=12).............OK (records=20/20)",
        "",
        "Done. Exported 20 of total 20 records. 0 records were detected as broken",
        "",
        "Exporting index info...",
        "- Index City.name...OK",
        "OK (1 indexes)",
        "Exporting manual indexes content...",
        "- Exporting index manual1 ...OK (entries=2)",
        "OK (1 manual indexes)",
        "",
        "Database export completed in 598ms",
    ]


def test_sections_that_are_left_out_are_not_told() -> None:
    options = parse_export_options("-excludeAll -includeInfo=true")
    assert said(Wording.ENGINE, options) == [
        "Started export of database 'shop' to /x/shop.json.gz...",
        "Exporting database info...OK",
        "",
        "Database export completed in 598ms",
    ]
    assert said(Wording.MANUAL, options) == ["Exporting database info...OK", "Export of database completed."]


@pytest.mark.parametrize(
    ("records", "printed"), [(0, 0), (10, 0), (11, 11), (19, 19), (20, 10), (100, 10), (1000, 10), (17_003, 10)]
)
def test_a_dot_a_tenth(records: int, printed: int) -> None:
    def engine(total: int) -> int:
        # ODatabaseExport.exportRecord, one record after the other.
        return sum((number + 1) % (total // 10) == 0 for number in range(1, total + 1)) if total > 10 else 0

    assert len(dots(records)) == engine(records) == printed


def test_imports() -> None:
    manual = ImportLines()
    assert manual.started("shop", "f", [("city", 12, 12)], 18) == ["Importing records..."]
    assert manual.cluster_done("city", 55) == ["- Imported records into the cluster 'city': 55 records"]
    assert manual.advanced(5, 1.0) + manual.records_done(5, 1.0, ["a"]) + manual.finished(9) == []
    engine = ImportLines(Wording.ENGINE)
    assert engine.started("shop", "f", [("city", 14, 12)], 18) == [
        "Started import of database 'shop' from f...",
        "Importing database info...OK",
        "Importing clusters...",
        "- Creating cluster 'city'...OK, assigned id=14, was 12",
        "Done. Imported 1 clusters",
        "Importing database schema...OK (18 classes)",
        "",
        "Importing records...",
    ]
    assert engine.cluster_done("city", 55) == []
    assert engine.advanced(28_697, 5.0) == ["- Imported 28,697 records (5,739.40/sec)"]
    assert engine.records_done(14, 0.571, ["City.name"]) == [
        "",
        "Done. Imported 14 records in 0.57 secs",
        "",
        "Importing indexes ...",
        "- Index 'City.name'...OK",
        "Done. Created 1 indexes.",
    ]
    assert engine.finished(2304) == ["", "Database import completed in 2304 ms"]
