"""tests/interop/engine.py: that what it says of the real OrientDB is so, and that it cannot hang."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop import jars
from tests.interop.engine import Engine, EngineFailed, EngineHung


def test_rows_keep_their_types(engine: Engine) -> None:
    with engine.database("typed", storage="MEMORY") as name:
        for text in (
            "CREATE CLASS City EXTENDS V",
            "CREATE PROPERTY City.area DECIMAL",
            "CREATE PROPERTY City.size SHORT",
            "CREATE VERTEX City SET name = 'Rom', area = '3.10', size = 7, tags = ['a', 2], at = {'lat': 0.5}",
        ):
            engine.sql(name, text)
        [row] = engine.sql(name, "SELECT FROM City")
        assert row["class"] == "City"
        assert row["version"] == 1
        assert row["rid"].startswith("#")
        assert row["fields"] == {
            "name": {"type": "STRING", "value": "Rom"},
            "area": {"type": "DECIMAL", "value": "3.10"},
            "size": {"type": "SHORT", "value": 7},
            "tags": {"type": "LIST", "value": [{"type": "STRING", "value": "a"}, {"type": "INTEGER", "value": 2}]},
            # A literal with a point is a float to the engine.
            "at": {"type": "MAP", "value": {"lat": {"type": "FLOAT", "value": "0.5"}}},
        }
        [count] = engine.sql(name, "SELECT count(*) AS n FROM City")
        assert count == {"fields": {"n": {"type": "LONG", "value": 1}}}


def test_errors_and_bounds(engine: Engine) -> None:
    with engine.database("bounds", storage="MEMORY") as name:
        with pytest.raises(EngineFailed, match="OCommandSQLParsingException"):
            engine.sql(name, "SELEKT")
        with pytest.raises(EngineFailed, match="more than 2 rows"):
            engine.sql(name, "SELECT FROM OUser", rows=2)
        assert len(engine.sql(name, "SELECT FROM OUser")) == 3


def test_what_does_not_end_is_ended(engine: Engine, tmp_path: Path) -> None:
    del engine  # only to be skipped where there is none
    with Engine(tmp_path) as other:
        other.create("x", storage="MEMORY")
        other.pause()
        with pytest.raises(EngineHung, match="within 1 s"):
            other.sql("x", "SELECT FROM OUser", timeout_s=1)
        with pytest.raises(EngineHung, match="has ended"):
            other.sql("x", "SELECT FROM OUser")


def test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(jars.NoEngine, match="java and javac and mvn not found"):
        jars.jars()
