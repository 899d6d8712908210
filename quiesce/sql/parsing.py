"""From the text of a statement to its syntax tree."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TypeAlias

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken, VisitError

from quiesce.errors import InvalidStatement, QuiesceError, StatementNotSupported
from quiesce.sql.console_statements import ConsoleStatement
from quiesce.sql.schema_statements import SchemaStatement
from quiesce.sql.statement_tree import StatementTree
from quiesce.sql.statements import Explain, RecordStatement, Select

Statement: TypeAlias = Select | Explain | RecordStatement | SchemaStatement | ConsoleStatement

# A statement is typed by a person or made by a program; one that is longer than this is data in the wrong place.
STATEMENT_CHARACTERS = 1 << 20

# What OrientDB has and this does not, by the words it begins with, and what there is instead.
_OTHERS = {
    "TRAVERSE": "SELECT with out(), in() and both() goes along edges",
    "MATCH": "SELECT with out(), in() and both() goes along edges",
    "FIND": "SELECT FROM [#1:2, #1:3] reads records by their ids",
    "PROFILE": "EXPLAIN shows how a query is answered",
    "MOVE VERTEX": "",
    "CREATE FUNCTION": "",
    "CREATE SEQUENCE": "",
    "CREATE LINK": "",
    "CREATE USER": "there are no users yet",
    "CREATE ROLE": "there are no users yet",
    "DROP USER": "there are no users yet",
    "GRANT": "there are no users yet",
    "REVOKE": "there are no users yet",
    "REBUILD INDEX": "indexes are always up to date",
    "OPTIMIZE": "",
    "REPAIR": "the shell's `quiesce check` examines a node, CHECK DATABASE the records",
    "COMPARE": "quiesce.orientdb.compare_exports compares two exports",
    "FREEZE": "a backup needs no freeze here",
    "RELEASE": "a backup needs no freeze here",
    "HA": "the shell's `quiesce nodes` shows the nodes",
    "BEGIN": "each statement is a transaction of its own",
    "COMMIT": "each statement is a transaction of its own",
    "ROLLBACK": "each statement is a transaction of its own",
    "LET": "",
    "IF": "",
    "FOREACH": "",
    "WHILE": "",
    "JS": "",
    "CONFIG": "",
    "ALTER DATABASE": "",
    "LOAD SCRIPT": "`quiesce console FILE` runs a script",
    "LIVE": "",
}
# The same for clauses, where they stand.
_CLAUSES = frozenset(
    ("LET", "UNWIND", "FETCHPLAN", "TIMEOUT", "LOCK", "PARALLEL", "NOCACHE", "UPSERT", "RETURN", "RETRY", "PUT", "ADD",
     "ENGINE", "BATCH", "WHILE", "MAXDEPTH", "STRATEGY", "COLLATE", "RUNTIME", "BLOB", "CLUSTERS", "EDGE",)
)  # fmt: skip
_MEANINGS = {
    "NAME": "a name",
    "QUOTED": "",
    "RID": "a record id",
    "INTEGER": "a number",
    "DECIMAL": "",
    "STRING": "a text in quotes",
    "ATTRIBUTE": "@rid, @class or @version",
    "REST": "the rest of the command",
    "CLASS_REF": "",
    "CLUSTER_REF": "cluster:NAME",
    "INDEX_REF": "index:NAME",
    "COMPARATOR": "a comparison",
    "WORD_COMPARATOR": "LIKE, CONTAINS or the like",
    "SIGN": "+ or -",
    "SLASH": "/",
    "PERCENT": "",
    "STAR": "*",
    "LISTED": "DATABASES, CLASSES, CLUSTERS or INDEXES",
    "ASCENDING": "ASC",
    "DESCENDING": "DESC",
    "BY_KEY": "KEY",
    "BY_VALUE": "VALUE",
    "ASSIGN": "",
    "$END": "the end",
}
_SIGNS = {"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}", "COMMA": ",", "DOT": ".",
          "EQUAL": "=", "COLON": ":"}  # fmt: skip
_WORD = re.compile(r"\w+|\S")
_COMMENT = re.compile(r"\s+|/\*.*?\*/|--[^\n]*", re.DOTALL)


@cache
def parser() -> Lark:
    """Return the parser; made once, when it is first needed."""
    grammar = resources.files(__package__).joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=False)


def parse(text: str, *, line: int = 1, column: int = 1) -> Statement:
    """Return the syntax tree of one statement, without the semicolon behind it.

    Args:
        text: the statement.
        line: where it begins in the script that it is of,
        column: and in that line, both from 1, so that errors name places in the script.

    Raises:
        InvalidStatement: it is malformed; where, and what could stand there.
        StatementNotSupported: it is OrientDB's, and not understood here.
    """
    if len(text) > STATEMENT_CHARACTERS:
        raise InvalidStatement(
            line=1, column=1, found=f"{len(text)} characters", expected=f"{STATEMENT_CHARACTERS} at most"
        )
    try:
        statement: Statement = StatementTree().transform(parser().parse(text))
    except UnexpectedInput as error:
        raise _explained(error, text, line, column) from None
    except VisitError as error:
        if isinstance(error.orig_exc, QuiesceError):
            raise error.orig_exc from None
        raise
    except RecursionError:
        raise InvalidStatement(
            line=1, column=1, found="an expression", expected="one that is nested less deeply"
        ) from None
    return statement


def incomplete(text: str) -> bool:
    """Return whether more text could make a statement of this: it ends before anything in it is wrong."""
    try:
        parser().parse(text)
    except UnexpectedInput as error:
        if isinstance(error, UnexpectedToken) and error.token.type == "$END":
            return bool(_COMMENT.sub("", text))
        # A text, a name or a comment that is not closed.
        rest = text[error.pos_in_stream or 0 :]
        return rest[:1] in ("'", '"', "`") or rest[:2] == "/*"
    return False


def _explained(error: UnexpectedInput, text: str, first_line: int, first_column: int) -> QuiesceError:
    unsupported = _unsupported(text)
    if unsupported is not None:
        return unsupported
    if isinstance(error, UnexpectedToken):
        token: Token = error.token
        # What is read as the rest of a line is a word and more.
        found = "the end" if token.type == "$END" else _first_word(str(token))
        allowed = error.accepts or error.expected
        line, column = (error.line, error.column) if token.type != "$END" else _end(text)
    elif isinstance(error, UnexpectedCharacters):
        found, allowed = text[error.pos_in_stream or 0 :][:1], error.allowed or set()
        line, column = error.line, error.column
    else:
        found, allowed = "the end", set(error.expected) if isinstance(error, UnexpectedEOF) else set()
        line, column = _end(text)
    if found.upper() in _CLAUSES:
        return StatementNotSupported(what=found.upper(), instead="")
    if line == 1:
        column += first_column - 1
    line += first_line - 1
    return InvalidStatement(line=line, column=column, found=found, expected=_choices(allowed))


def _unsupported(text: str) -> StatementNotSupported | None:
    words = _COMMENT.sub(" ", text).upper().split()[:2]
    for name in (" ".join(words), words[0] if words else ""):
        if name in _OTHERS:
            instead = _OTHERS[name]
            return StatementNotSupported(what=name, instead=f": {instead}" if instead else "")
    return None


def _first_word(text: str) -> str:
    found = _WORD.search(text)
    return found[0] if found else text


def _end(text: str) -> tuple[int, int]:
    lines = text.split("\n")
    return len(lines), len(lines[-1]) + 1


def _choices(allowed: set[str]) -> str:
    """Return what may stand at a place, in words; keywords last, so that a short list comes first."""
    signs = [meaning for name, meaning in (_MEANINGS | _SIGNS).items() if name in allowed and meaning]
    words = sorted(
        name for name in allowed if name not in _MEANINGS and name not in _SIGNS and not name.startswith("_")
    )
    choices = [*signs, *words]
    if not choices:
        return "something else"
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"
