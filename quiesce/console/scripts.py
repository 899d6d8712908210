"""Cuts a script into its statements, and knows where in it each begins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from quiesce.sql.parsing import incomplete

# Words that a statement begins with, so that a line that begins with one ends the statement above it.
STARTS = frozenset(
    ("ALTER", "BACKUP", "BROWSE", "CHECK", "CLASSES", "CLUSTERS", "CONNECT", "CREATE", "DATABASES", "DELETE",
     "DISCONNECT", "DISPLAY", "DROP", "EXIT", "EXPLAIN", "EXPORT", "GET", "HELP", "IMPORT", "INDEXES", "INFO", "INSERT",
     "LIST", "LOAD", "QUIT", "RESTORE", "SELECT", "TRAVERSE", "MATCH", "TRUNCATE", "UPDATE", "USE")
)  # fmt: skip
_QUOTED = r"'(?:[^'\\]|\\.)*'?|\"(?:[^\"\\]|\\.)*\"?|`[^`]*`?"
_PIECE = re.compile(
    rf"(?P<quoted>{_QUOTED})|(?P<comment>/\*.*?(?:\*/|\Z)|--[^\n]*|(?:(?<=\n)|\A)[ \t]*(?:#(?!-?\d+:)|//)[^\n]*)"
    r"|(?P<end>;)|(?P<line>\n)|(?P<text>[^'\"`/;\n#-]+|.)",
    re.DOTALL,
)
_WORD = re.compile(r"\s*([A-Za-z]+)")
# Of what follows a line, so much is looked at for the first word of a statement.
_AHEAD = 1_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A statement of a script, and the line and column where it begins, from 1."""

    text: str
    line: int = 1
    column: int = 1


def statements(script: str) -> Iterator[Piece]:
    """Yield the statements of a script.

    One ends at a semicolon; or, as in OrientDB's console, at the end of a line: where it is complete, and what follows
    begins with the first word of a statement, or nothing follows. Comments are `--` to the end of the line, `/* */`,
    and lines that begin with # or //.
    """
    text: list[str] = []
    line, column = 1, 1
    for piece in _PIECE.finditer(script):
        if piece["end"] is not None or (
            piece["line"] is not None and _ends("".join(text), script[piece.end() : piece.end() + _AHEAD])
        ):
            yield from _piece("".join(text), line, column)
            line, column = _behind("".join(text) + piece[0], line, column)
            text = []
        elif piece["comment"] is not None:
            # Space of the same shape, so that places stay what they are.
            text.append(re.sub(r"[^\n]", " ", piece[0]))
        else:
            text.append(piece[0])
    yield from _piece("".join(text), line, column)


def _ends(text: str, rest: str) -> bool:
    if not text.strip():
        return False
    word = _WORD.match(rest)
    return word is not None and word[1].upper() in STARTS and not incomplete(text)


def _behind(text: str, line: int, column: int) -> tuple[int, int]:
    """Return the place behind a text that begins at a place."""
    lines = text.count("\n")
    return line + lines, len(text) - text.rfind("\n") if lines else column + len(text)


def _piece(text: str, line: int, column: int) -> Iterator[Piece]:
    if text.strip():
        yield Piece(text.strip(), *_behind(text[: len(text) - len(text.lstrip())], line, column))
