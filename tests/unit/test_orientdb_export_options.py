"""quiesce.orientdb.export_options: OrientDB's spelling of what goes into an export."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiesce.cli.commands.export import chosen_options
from quiesce.errors import InvalidExportOption
from quiesce.orientdb import ExportOptions, parse_export_options
from quiesce.orientdb.engine_versions import ENGINES, engine

SECTIONS = ("info", "clusters", "schema", "records", "indexes", "manual_indexes")


def on(options: ExportOptions) -> list[str]:
    return [name for name in SECTIONS if getattr(options, name)]


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("", list(SECTIONS)),
        ("-excludeAll", []),
        ("-excludeAll -includeRecords=true", ["records"]),
        # As in OrientDB, the schema brings along what it needs.
        ("-EXCLUDEALL -includeschema=TRUE", ["info", "clusters", "schema"]),
        ("-includeSchema=false", ["info", "clusters", "records", "indexes", "manual_indexes"]),
        ("-includeRecords=false -excludeAll -includeInfo", ["info"]),
        ("-includeRecords=false -includeClass=A", list(SECTIONS)),
        ("-includeClusterDefinitions=false -includeManualIndexes=false", ["info", "schema", "records", "indexes"]),
        ("-includeIndexDefinitions = false", ["info", "clusters", "schema", "records", "manual_indexes"]),
    ],
)
def test_sections(text: str, sections: list[str]) -> None:
    assert on(parse_export_options(text)) == sections


def test_everything_else() -> None:
    options = parse_export_options(
        "-includeClass=\"Person Animal\" -excludeClass='v' -includeCluster=a,b -excludeCluster=c "
        "-includeSecurity=false -compressionLevel=9 -compressionBuffer=16384 -useLineFeedForRecords=true "
        "-preserveRids=true"
    )
    assert options.include_classes == {"person", "animal"}
    assert options.exclude_classes == {"v"}
    assert options.include_clusters == {"a", "b"}
    assert options.exclude_clusters == {"c"}
    assert options.security is False
    assert (options.level, options.buffer_bytes, options.line_feeds) == (9, 16_384, True)


@pytest.mark.parametrize(
    "text",
    [
        "-includeRecord=true",
        "records",
        "-includeRecords=perhaps",
        "-includeClass",
        '-includeClass=""',
        "-compressionLevel=10",
        "-compressionLevel=x",
        "-compressionBuffer=1",
        '-includeClass="A',
        "-preserveRids=x",
    ],
)
def test_what_is_no_option_is_named(text: str) -> None:
    with pytest.raises(InvalidExportOption) as caught:
        parse_export_options(text)
    assert caught.value.fields["option"] in text


@given(st.text())
def test_any_text_is_options_or_an_error(text: str) -> None:
    with contextlib.suppress(InvalidExportOption):
        assert isinstance(parse_export_options(text), ExportOptions)


def test_flags_say_the_same() -> None:
    assert chosen_options() == ExportOptions()
    assert on(chosen_options(only="info, schema")) == ["info", "schema"]
    assert on(chosen_options(without="records")) == [name for name in SECTIONS if name != "records"]
    spelt = "-includeClass=A -excludeCluster=b -includeSecurity=true -compressionLevel=3 -useLineFeedForRecords"
    flags = chosen_options(
        include_class=("A",), exclude_cluster=("B",), security=True, level=3, line_feeds=True, orientdb_version="3.2"
    )
    assert flags == parse_export_options(spelt)
    assert chosen_options(orientdb_version="2.2", spelt="-excludeAll").engine is ENGINES["2.2"]
    for wrong in ({"only": "record"}, {"without": " "}):
        with pytest.raises(InvalidExportOption):
            chosen_options(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidExportOption, match=r"2\.2, 3\.0, 3\.1, 3\.2"):
        engine("1.7")
