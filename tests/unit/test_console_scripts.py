"""How a script is cut into statements, what the prompt takes for finished, and what may come next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiesce.console.completion import next_words
from quiesce.console.prompt import is_finished
from quiesce.console.scripts import Piece, statements


def texts(script: str) -> list[str]:
    return [piece.text for piece in statements(script)]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        (" ;; \n ; ", []),
        ("LIST CLASSES", ["LIST CLASSES"]),
        ("LIST CLASSES; INFO;", ["LIST CLASSES", "INFO"]),
        ("LIST CLASSES\nINFO\n", ["LIST CLASSES", "INFO"]),
        ("SELECT\nFROM x\nWHERE a = 1\nSELECT FROM y", ["SELECT\nFROM x\nWHERE a = 1", "SELECT FROM y"]),
        # It goes on where it is cut off, and where the next line begins no statement.
        ("UPDATE x\nSET a = 1\nLIMIT 2\nINFO", ["UPDATE x\nSET a = 1\nLIMIT 2", "INFO"]),
        ("CREATE EDGE E FROM #1:2 TO (\nSELECT FROM x\n)", ["CREATE EDGE E FROM #1:2 TO (\nSELECT FROM x\n)"]),
        ("SELECT 'a;\nSELECT b'; INFO", ["SELECT 'a;\nSELECT b'", "INFO"]),
        ('SELECT "it\'s; \\"" AS `a;b`', ['SELECT "it\'s; \\"" AS `a;b`']),
        ("-- one; two\n# three; 'four\n// five\nINFO -- six", ["INFO"]),
        ("/* ; \n ; */ INFO /* 'open", ["INFO"]),
        ("#12:3", ["#12:3"]),
        ("IMPORT DATABASE /a/b.gz -x=1\nINFO", ["IMPORT DATABASE /a/b.gz -x=1", "INFO"]),
        ("SELEKT 1\nINFO", ["SELEKT 1", "INFO"]),
    ],
)
def test_statements_of_a_script(script: str, expected: list[str]) -> None:
    assert texts(script) == expected


def test_where_a_statement_begins() -> None:
    found = list(statements("INFO; LIST CLASSES\n\n  -- x\n  SELECT 1\n;  INFO"))
    assert found == [Piece("INFO", 1, 1), Piece("LIST CLASSES", 1, 7), Piece("SELECT 1", 5 - 1, 3), Piece("INFO", 5, 4)]


@given(st.text(alphabet="aS;'\"`\\\n-/*# #", max_size=40))
def test_nothing_is_lost_or_made_up(script: str) -> None:
    found = list(statements(script))
    for piece in found:
        line = script.split("\n")[piece.line - 1]
        # Each begins where it says.
        assert line[piece.column - 1 :].startswith(piece.text.split("\n")[0][:1])
    assert len("".join(piece.text for piece in found)) <= len(script)


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ("", True),
        ("SELECT 1", True),
        ("SELECT", True),
        ("SELECT FROM", False),
        ("SELECT FROM;", True),
        ("INSERT INTO x", False),
        ("SELECT 'abc", False),
        ("SELECT (1", False),
        ("SELEKT", True),
        ("INFO; UPDATE x", False),
    ],
)
def test_when_enter_ends_what_was_typed(text: str, finished: bool) -> None:
    assert is_finished(text) is finished


def test_what_may_come_next() -> None:
    words, names = next_words("")
    assert {"SELECT", "CREATE", "LIST", "EXIT"} <= set(words)
    assert not names
    assert next_words("CREATE ")[0] == ["CLASS", "CLUSTER", "DATABASE", "EDGE", "INDEX", "PROPERTY", "VERTEX"]
    words, names = next_words("SELECT FROM ")
    assert names
    words, _ = next_words("SELECT FROM x WHERE a ")
    assert {"LIKE", "CONTAINS", "BETWEEN", "IN", "IS"} <= set(words)
    assert "DATABASES" in next_words("LIST ")[0]
    assert next_words("SELEKT ") == ([], False)
