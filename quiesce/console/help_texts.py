"""What HELP says."""

from __future__ import annotations

from quiesce.errors import InvalidRequest

# By name: the form, and what it does.
_TOPICS: dict[str, tuple[str, str]] = {
    "CREATE DATABASE": ("CREATE DATABASE name", "Create a database, and use it."),
    "DROP DATABASE": ("DROP DATABASE [name]", "Remove a database with all that is in it."),
    "LIST": ("LIST DATABASES | CLASSES | CLUSTERS | INDEXES | PROPERTIES", "List what there is."),
    "USE": ("USE name; CONNECT name", "Use a database for what follows."),
    "INFO": (
        "INFO [CLASS name | PROPERTY class.name | CLUSTER name | INDEX name]",
        "Show the database, or a part of it.",
    ),
    "SELECT": (
        (
            "SELECT [DISTINCT] [columns] FROM class | cluster:name | #1:2 | [#1:2, #1:3] | index:name | (SELECT ...)\n"
            "    [WHERE condition] [GROUP BY ...] [ORDER BY ... [ASC | DESC]] [SKIP n] [LIMIT n]"
        ),
        "Read records.",
    ),
    "EXPLAIN": ("EXPLAIN SELECT ...", "Show how a query is answered, and by which index."),
    "INSERT": (
        "INSERT INTO class | cluster:name  SET field = value, ... | (fields) VALUES (values), ... | CONTENT {...}",
        "Create records.",
    ),
    "UPDATE": (
        (
            "UPDATE class | cluster:name | #1:2  SET ... | INCREMENT ... | REMOVE ... | MERGE {...} | CONTENT {...}\n"
            "    [WHERE condition] [LIMIT n]"
        ),
        "Change records.",
    ),
    "DELETE": (
        (
            "DELETE FROM target [WHERE condition] [LIMIT n] [UNSAFE]; DELETE VERTEX | EDGE target ...;\n"
            "    DELETE EDGE [class] FROM #1:2 TO #1:3"
        ),
        "Delete records; vertices with their edges.",
    ),
    "CREATE VERTEX": ("CREATE VERTEX [class] [SET ... | CONTENT {...}]", "Create a vertex."),
    "CREATE EDGE": (
        "CREATE EDGE [class] FROM #1:2 | (SELECT ...) TO ... [SET ...]",
        "Create edges, named by both of their ends.",
    ),
    "CREATE CLASS": (
        "CREATE CLASS name [IF NOT EXISTS] [EXTENDS a, b] [CLUSTER id, ...] [ABSTRACT]",
        "Create a class.",
    ),
    "ALTER CLASS": (
        "ALTER CLASS name attribute value",
        "Change a class: SUPERCLASS +a, STRICTMODE true, CUSTOM a=b...",
    ),
    "DROP CLASS": ("DROP CLASS name [IF EXISTS] [UNSAFE]", "Remove a class with its records."),
    "CREATE PROPERTY": (
        "CREATE PROPERTY class.name type [linked] [(MANDATORY TRUE, MIN 5, ...)]",
        "Create a property.",
    ),
    "ALTER PROPERTY": (
        "ALTER PROPERTY class.name attribute value",
        "Change a property: MANDATORY, MIN, REGEXP, DEFAULT...",
    ),
    "DROP PROPERTY": (
        "DROP PROPERTY class.name [IF EXISTS] [FORCE]",
        "Remove a property; FORCE: with the indexes on it.",
    ),
    "CREATE CLUSTER": ("CREATE CLUSTER name [ID n]", "Create a cluster of records."),
    "ALTER CLUSTER": ("ALTER CLUSTER name NAME new", "Rename a cluster."),
    "DROP CLUSTER": ("DROP CLUSTER name", "Remove a cluster with its records."),
    "CREATE INDEX": (
        "CREATE INDEX class.field type; CREATE INDEX name ON class (fields) type",
        "Create an index.",
    ),
    "DROP INDEX": ("DROP INDEX name", "Remove an index."),
    "TRUNCATE": (
        "TRUNCATE CLASS name [POLYMORPHIC] [UNSAFE]; TRUNCATE CLUSTER name; TRUNCATE RECORD #1:2",
        "Delete all records.",
    ),
    "LOAD RECORD": ("LOAD RECORD #1:2", "Read a record, and make it the current one."),
    "DISPLAY RECORD": ("DISPLAY RECORD n", "Show a row of the last result, from 0."),
    "BROWSE": ("BROWSE CLASS name [n]; BROWSE CLUSTER name [n]", "Show all records."),
    "EXPORT DATABASE": (
        "EXPORT DATABASE [file] [-options]",
        "Write the database in OrientDB's export format.",
    ),
    "EXPORT SCHEMA": ("EXPORT SCHEMA [file]", "The same without records."),
    "EXPORT RECORD": ("EXPORT RECORD json", "Show the current record as JSON."),
    "IMPORT DATABASE": (
        "IMPORT DATABASE file [-options]",
        "Read an export into the database in use, which has to be empty.",
    ),
    "BACKUP DATABASE": ("BACKUP DATABASE", "Take a snapshot of one replica while the others serve."),
    "CHECK DATABASE": (
        "CHECK DATABASE",
        "Check that links lead to records, edges to their ends, indexes to records.",
    ),
    "SET": ("SET LIMIT n; SET WIDTH n; GET name", "How many rows are shown (-1: all), and how wide."),
    "EXIT": ("EXIT; QUIT", "Leave."),
}


def about(topic: str) -> str:
    """Return help about a command, or the list of commands.

    Raises:
        InvalidRequest: there is no such command.
    """
    if not topic:
        lines = [f"* {name:<16} {what}" for name, (_, what) in _TOPICS.items()]
        return "\n".join(
            [*lines, "", "HELP name says more. A statement ends with a semicolon or at the end of a line."]
        )
    words = topic.split()
    for name in (" ".join(words[:2]), words[0]):
        if name in _TOPICS:
            syntax, what = _TOPICS[name]
            return f"{syntax}\n\n{what}"
    several = [name for name in _TOPICS if name.startswith(words[0])]
    if several:
        return "\n".join(f"{_TOPICS[name][0]}\n    {_TOPICS[name][1]}" for name in several)
    raise InvalidRequest(detail=f"there is no help about `{topic}`; HELP lists the commands")
