"""The console's statements give what the real engine gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quiesce.client import AsyncClient
from quiesce.console.scripts import statements
from quiesce.console.session import Session
from quiesce.orientdb import import_export
from quiesce.sql.parsing import parse
from quiesce.sql.statements import Select
from tests.interop.engine import Engine
from tests.interop.files import EXAMPLES
from tests.interop.sql_rows import ours, theirs, without_order
from tests.scenarios.cluster import Cluster

STATEMENTS = Path(__file__).with_name("console_statements.sql")
# Lists of these have no order of their own.
_OF_NO_ORDER = re.compile(r"\b(out|in|both|outE|inE|bothE)\(|neighbours\.")
WORLD = EXAMPLES / "world-3.2.34.json.gz"


@pytest.mark.timeout(600)
async def test_statements_give_the_rows_of_the_real_engine(engine: Engine, tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster", size=1) as cluster, engine.database("world") as world:
        engine.import_file(world, WORLD, "-preserveRids=true")
        async with AsyncClient(cluster.addresses, timeout_s=30) as client:
            await import_export(client, WORLD, "world")
        with cluster.client(timeout_s=30) as blocking:
            session = Session(blocking, cluster.addresses, "", database="world")
            differences = compare(engine, world, session)
    assert differences == []


def compare(engine: Engine, world: str, session: Session) -> list[str]:
    """Run each statement on both sides; return where they differ."""
    differences = []
    pieces = list(statements(STATEMENTS.read_text(encoding="utf-8")))
    assert len(pieces) >= 50
    for piece in pieces:
        statement = parse(piece.text)
        expected, found = theirs(statement, engine.sql(world, piece.text)), ours(statement, session)
        if _OF_NO_ORDER.search(piece.text):
            expected, found = without_order(expected), without_order(found)
        if isinstance(statement, Select) and not statement.order_by:
            # In any order.
            expected, found = sorted(expected), sorted(found)  # type: ignore[arg-type]
        if expected != found:
            outcomes = f"  engine: {_short(expected)}\n  here:   {_short(found)}"
            differences.append(f"line {piece.line}: {piece.text}\n{outcomes}")
    return differences


def _short(outcome: object) -> str:
    return str(outcome)[:600]
