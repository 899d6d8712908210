"""The console against a real cluster: statements, scripts, wrong input, exit codes, Ctrl-C, and the prompt."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quiesce import errors
from quiesce.console.session import Session
from quiesce.orientdb import ExportReader
from quiesce.sql.changes import Changes
from quiesce.sql.parsing import parse
from quiesce.sql.statements import CreateEdge
from tests.scenarios.cli import ROOT, Answer
from tests.scenarios.cluster import Cluster
from tests.scenarios.people import make_database

pytestmark = pytest.mark.scenario
CLASSES = "CREATE CLASS Person EXTENDS V; CREATE PROPERTY Person.name STRING; CREATE CLASS Knows EXTENDS E;"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as running, running.client() as client:
        make_database(client, 2_000)
        yield running


def command(cluster: Cluster, *arguments: str) -> list[str]:
    addresses = ["--cluster", cluster.addresses, "--coordinator", cluster.coordinator_address]
    return [sys.executable, "-m", "quiesce", "console", *addresses, *arguments]


def console(cluster: Cluster, *arguments: str, script: str = "") -> Answer:
    """Run the console to its end, with a script on its standard input."""
    done = subprocess.run(
        command(cluster, *arguments), cwd=ROOT, input=script, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Answer(done.returncode, done.stdout, done.stderr)


def run(cluster: Cluster, *arguments: str, script: str = "") -> str:
    answer = console(cluster, *arguments, script=script)
    assert answer.code == 0, answer.error
    return answer.output


def rows(cluster: Cluster, statement: str, database: str) -> list[dict[str, object]]:
    """Return the rows of a query, as programs get them."""
    lines = map(json.loads, run(cluster, "--database", database, "--output", "json", "-c", statement).splitlines())
    return [line["fields"] for line in lines if line["type"] == "row"]


def test_a_script_from_beginning_to_end(cluster: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "graph.sql"
    script.write_text(
        f"-- comments, lines and semicolons\nCREATE DATABASE graph\n{CLASSES}\n"
        "CREATE INDEX Person.name UNIQUE\n"
        "INSERT INTO Person (name)\n  VALUES ('Ada'), ('Bob'), ('Cleo; the \"third\"')\n"
        "CREATE EDGE Knows\n  FROM (SELECT FROM Person WHERE name = 'Ada')\n"
        "  TO (SELECT FROM Person WHERE name = 'Bob')\n"
        "UPDATE Person SET seen = true WHERE in('Knows').size() > 0;\n"
    )
    output = run(cluster, str(script))
    assert "Created edge 'Knows#7:0{out:#6:0,in:#6:1} v1'" in output
    assert rows(cluster, "SELECT name, out().name AS knows, seen FROM Person ORDER BY name", "graph") == [
        {"name": "Ada", "knows": ["Bob"], "seen": None},
        {"name": "Bob", "knows": [], "seen": True},
        {"name": 'Cleo; the "third"', "knows": [], "seen": None},
    ]
    for script_text in ("LIST CLASSES\nINFO CLASS Person", "INFO", "LIST DATABASES; LIST INDEXES\nLIST CLUSTERS"):
        assert "Person" in run(cluster, "--database", "graph", script=script_text) or "graph" in script_text
    assert "is consistent: 4 records, 4 links" in run(cluster, "--database", "graph", "-c", "CHECK DATABASE")
    assert "+ FETCH FROM INDEX Person.name" in run(
        cluster, "--database", "graph", "-c", "EXPLAIN SELECT FROM Person WHERE name = 'Ada'"
    )
    run(cluster, "--database", "graph", "-c", "DELETE VERTEX Person WHERE name = 'Bob'")
    assert rows(cluster, "SELECT out_Knows FROM Person WHERE name = 'Ada'", "graph") == [{"out_Knows": []}]
    run(cluster, "-c", "DROP DATABASE graph")


def test_edges_that_are_created_at_the_same_time(cluster: Cluster) -> None:
    run(cluster, "-c", f"CREATE DATABASE rush; {CLASSES} INSERT INTO Person (name) VALUES ('hub'), ('a'), ('b'), ('c')")
    with cluster.client() as client, ThreadPoolExecutor(3) as pool:

        def edges(name: str) -> int:
            changes = Changes(Session(client, cluster.addresses, "", database="rush"))
            statement = parse(
                "CREATE EDGE Knows FROM (SELECT FROM Person WHERE name = 'hub')"
                f" TO (SELECT FROM Person WHERE name = '{name}')"
            )
            assert isinstance(statement, CreateEdge)
            return sum(len(changes.create_edge(statement)) for _ in range(8))

        # They take each other's positions and change the same vertex: each tries again until it is through.
        assert list(pool.map(edges, "abc")) == [8, 8, 8]
    assert rows(cluster, "SELECT out().size() AS n, out_Knows.size() AS m FROM Person WHERE name = 'hub'", "rush") == [
        {"n": 24, "m": 24}
    ]
    assert rows(cluster, "SELECT count(*) AS n FROM Knows", "rush") == [{"n": 24}]
    assert "is consistent: 28 records, 96 links" in run(cluster, "--database", "rush", "-c", "CHECK DATABASE")
    run(cluster, "-c", "DROP DATABASE rush")


def test_check_finds_what_is_wrong(cluster: Cluster) -> None:
    run(
        cluster, "-c", f"CREATE DATABASE bad; {CLASSES} INSERT INTO Person (name) VALUES ('a'), ('b');"
        "CREATE EDGE Knows FROM #6:0 TO #6:1; DELETE FROM #6:1 UNSAFE; INSERT INTO Knows SET out = #6:0",
    )  # fmt: skip
    answer = console(cluster, "--database", "bad", "-c", "CHECK DATABASE")
    assert answer.code == errors.CheckFailed.exit_code
    for problem in (
        "#7:0: `in` leads to #6:1, which does not exist",
        "#7:1: its end #6:0 does not name the edge",
        "#7:1: the edge of class `Knows` has no link `in`",
        "3 problems",
    ):
        assert problem in answer.error
    run(cluster, "-c", "DROP DATABASE bad")


def test_what_goes_out_comes_in(cluster: Cluster, tmp_path: Path) -> None:
    target = tmp_path / "people.json.gz"
    run(cluster, "--database", "people", "-c", f"EXPORT DATABASE {target}")
    with ExportReader(target) as reader:
        assert reader is not None
    answer = console(cluster, "--database", "people", "-c", f"IMPORT DATABASE {target}")
    assert (answer.code, "holds records" in answer.error) == (errors.UnfitValue.exit_code, True)
    run(cluster, "-c", f"CREATE DATABASE copy; IMPORT DATABASE {target}")
    assert rows(cluster, "SELECT count(*) AS n FROM Person", "copy") == [{"n": 2000}]
    # In OrientDB's spelling; and once more beside the first, with other ids.
    again = f"DROP INDEX Person.number; IMPORT DATABASE {target} -merge=true -includeIndexDefinitions=false"
    run(cluster, "--database", "copy", "-c", again)
    assert rows(cluster, "SELECT count(*) AS n FROM Person", "copy") == [{"n": 4000}]
    answer = console(cluster, "--database", "copy", "-c", f"IMPORT DATABASE {target} -marge=true")
    assert (answer.code, "-marge=true" in answer.error) == (errors.InvalidRequest.exit_code, True)
    # A file that is none leaves an empty database that can be used again.
    target.write_text("nothing")
    answer = console(cluster, "-c", f"CREATE DATABASE again; IMPORT DATABASE {target}")
    assert answer.code == errors.MalformedExport.exit_code
    run(cluster, "-c", "USE again; CREATE CLASS A; DROP DATABASE; DROP DATABASE copy")


def test_a_backup_from_the_console(cluster: Cluster) -> None:
    answer = console(cluster, "--database", "people", "-c", "BACKUP DATABASE")
    assert answer.code == 0, answer.error
    assert "Content id" in answer.output


@pytest.mark.parametrize(
    ("statement", "error", "words"),
    [
        ("SELECT FORM Person", errors.InvalidStatement, "Line 1, column 13: found `Person`"),
        ("SELECT name\n  FROM Person WHERE a ==", errors.InvalidStatement, "Line 2, column 25: found `the end`"),
        ("TRAVERSE out() FROM V", errors.StatementNotSupported, "TRAVERSE is not supported"),
        ("SELECT shortestPath(1) FROM V", errors.StatementNotSupported, "shortestPath()"),
        ("RESTORE DATABASE x", errors.StatementNotSupported, "quiesce restore"),
        ("SELECT FROM Ghost", errors.UnknownClass, "Ghost"),
        ("USE atlantis", errors.UnknownDatabase, "atlantis"),
        ("SELECT 1 / 0", errors.UnfitValue, "1 / 0"),
        ("LOAD RECORD #9:9999", errors.UnknownRecord, "#9:9999"),
        ("INSERT INTO Person SET number = 1", errors.DuplicateKey, "Person.number"),
        ("ALTER CLASS Person NAME Human", errors.StatementNotSupported, "ALTER CLASS NAME"),
        ("DROP DATABASE people2", errors.UnknownDatabase, "people2"),
        ("HELP frobnicate", errors.InvalidRequest, "FROBNICATE"),
    ],
)
def test_wrong_statements(cluster: Cluster, statement: str, error: type[errors.QuiesceError], words: str) -> None:
    answer = console(cluster, "--database", "people", "-c", f"{statement}; CREATE CLASS Never")
    assert answer.code == error.exit_code, answer.error
    assert words in answer.error
    # The first that fails ends the script.
    assert "Never" not in run(cluster, "--database", "people", "-c", "LIST CLASSES")


def test_a_script_that_cannot_be_read(cluster: Cluster, tmp_path: Path) -> None:
    assert console(cluster, str(tmp_path / "none.sql")).code == errors.UnreadableScript.exit_code
    (tmp_path / "latin.sql").write_bytes(b"SELECT '\xe4'")
    answer = console(cluster, str(tmp_path / "latin.sql"))
    assert (answer.code, "byte 8" in answer.error) == (errors.UnreadableScript.exit_code, True)
    answer = console(cluster, script="SELECT FROM Person")
    assert answer.code == errors.NoDatabaseChosen.exit_code


def test_a_syntax_error_names_its_place_in_the_script(cluster: Cluster) -> None:
    script = "LIST DATABASES;\n\n  /* a\n comment */ SELECT 1 AS x; SELECT FROM\n V WHERE (a = ;\n"
    answer = console(cluster, "--database", "people", script=script)
    assert answer.code == errors.InvalidStatement.exit_code
    assert "Line 5, column 14" in answer.error


def test_ctrl_c_ends_a_statement_and_says_what_it_did(cluster: Cluster) -> None:
    # A failing wait between transactions would show nothing: there are enough of them to be interrupted in the midst.
    statements = "; ".join(["UPDATE Person SET seen = true"] * 200)
    process = subprocess.Popen(
        command(cluster, "--database", "people", "-c", statements), cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    # The first has gone through.
    assert "Updated record(s) '2000'" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert process.returncode in (130, errors.PartlyApplied.exit_code), said
    if process.returncode != 130:
        assert re.search(r"\d+ records are changed", said)


def test_the_prompt(cluster: Cluster, tmp_path: Path) -> None:
    """Type statements as a person does, one of them over two lines, one of them wrong."""
    primary, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "XDG_STATE_HOME": str(tmp_path)}
    process = subprocess.Popen(
        command(cluster, "--database", "people"), cwd=ROOT, env=environment,
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    seen = ""

    def until(text: str) -> None:
        nonlocal seen
        deadline = time.monotonic() + 60
        while text not in seen:
            assert time.monotonic() < deadline, f"{text!r} did not come:\n{seen}"
            if select.select([primary], [], [], 1)[0]:
                seen += os.read(primary, 65536).decode(errors="replace")
            # Whoever asks where the cursor is gets an answer.
            if "\x1b[6n" in seen:
                seen = seen.replace("\x1b[6n", "")
                os.write(primary, b"\x1b[1;1R")
        seen = seen.split(text, 1)[1]

    try:
        until("db=people")
        os.write(primary, b"SELECT count(*) AS many\r")
        os.write(primary, b"FROM Person WHERE\rnumber < 7\r")
        until("1 item(s) found")
        os.write(primary, b"SELEKT 1\r")
        until("found `SELEKT`")
        os.write(primary, b"EXIT\r")
        assert process.wait(60) == 0
    finally:
        process.kill()
        os.close(primary)
    history = tmp_path / "quiesce" / "console_history"
    assert "SELECT count(*) AS many" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
