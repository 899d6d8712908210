"""Carries out statements, one after the other, and says what came of each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, assert_never, cast, get_args

from quiesce.cli.output import Output
from quiesce.console import changes, help_texts, listings, transfer
from quiesce.console.checking import check_database
from quiesce.console.session import Session
from quiesce.console.tables import result_table
from quiesce.console.values import facts, record_json
from quiesce.errors import InvalidRequest, UnfitValue, UnknownRecord
from quiesce.sql.console_statements import (
    Browse,
    Connect,
    ConsoleStatement,
    CreateDatabase,
    Disconnect,
    DisplayRecord,
    DropDatabase,
    Exit,
    Help,
    Info,
    Listing,
    LoadRecord,
    Setting,
    ShowSetting,
    Transfer,
)
from quiesce.sql.parsing import Statement
from quiesce.sql.planning import SORT_ROWS, explained, plan
from quiesce.sql.queries import Queries
from quiesce.sql.rows import Element, Row
from quiesce.sql.schema_statements import SchemaStatement
from quiesce.sql.statements import Explain, RecordStatement, Select

# Rows of one table: where all are shown, they come in several.
_TABLE_ROWS = 1_000
_RECORD_STATEMENTS = get_args(RecordStatement)
_SCHEMA_STATEMENTS = get_args(SchemaStatement)


class Interpreter:
    """One console: a session, and where its answers go."""

    def __init__(self, session: Session, output: Output) -> None:
        self._session = session
        self._output = output

    def run(self, statement: Statement) -> bool:
        """Carry out one statement; return whether there is to be another.

        Raises:
            QuiesceError: why it could not be done.
        """
        if isinstance(statement, _RECORD_STATEMENTS):
            changes.change_records(cast("RecordStatement", statement), self._session, self._output)
        elif isinstance(statement, _SCHEMA_STATEMENTS):
            changes.change_schema(cast("SchemaStatement", statement), self._session, self._output)
        else:
            self._console(cast("ConsoleStatement | Select | Explain", statement))
        return not isinstance(statement, Exit)

    def _console(self, statement: ConsoleStatement | Select | Explain) -> None:
        match statement:
            case Select():
                self._select(statement)
            case Explain(select):
                lines = explained(plan(select, self._session.catalog()), sort_rows=SORT_ROWS)
                self._output.result({"plan": lines}, "\n".join(lines))
            case Connect() | Disconnect() | CreateDatabase() | DropDatabase():
                self._database(statement)
            case Listing(what):
                self._listing(what)
            case Info(what, name):
                self._info(what, name)
            case Browse(target, limit):
                self._select(Select(target=target, limit=limit))
            case LoadRecord() | DisplayRecord():
                self._record(statement)
            case Transfer():
                self._transfer(statement)
            case Setting() | ShowSetting():
                self._setting(statement)
            case Help(topic):
                self._output.result({"help": topic}, help_texts.about(topic))
            case Exit():
                pass
            case _:
                assert_never(statement)

    # --- queries

    def _select(self, statement: Select) -> None:
        session, began = self._session, time.monotonic()
        rows = Queries(session.reader(), session.catalog()).select(statement)
        count, more = self._show(rows)
        seconds = time.monotonic() - began
        text = f"\n{count} item(s) found. Query executed in {seconds:.3f} sec(s)."
        if more:
            more_text = f"LIMIT EXCEEDED: resultset contains more items not displayed (limit={count})"
            text = f"\n{more_text}; SET LIMIT changes that.{text}"
        self._output.result({"rows": count, "more": more}, text)

    def _show(self, rows: Iterator[Row]) -> tuple[int, bool]:
        """Show rows up to the limit; return how many, and whether there are more. Programs get all of them."""
        settings, session = self._session.settings, self._session
        limit = -1 if self._output.json else settings.limit
        session.result = []
        table: list[Row] = []
        count = 0
        for row in rows:
            if count == limit:
                self._draw(table, count)
                return count, True
            count += 1
            if self._output.json:
                self._output.line(facts(row))
                continue
            table.append(row)
            if len(session.result) < _TABLE_ROWS:
                session.result.append(row)
            if len(table) == _TABLE_ROWS:
                self._draw(table, count)
                table = []
        self._draw(table, count)
        return count, False

    def _draw(self, rows: list[Row], count: int) -> None:
        if rows:
            self._output.text("\n" + result_table(rows, count - len(rows), width=self._session.settings.width))

    def _record(self, statement: LoadRecord | DisplayRecord) -> None:
        session = self._session
        if isinstance(statement, LoadRecord):
            found = session.reader().get([statement.rid])
            if not found:
                raise UnknownRecord(rid=statement.rid, database=session.name)
            session.record = Element.of(found[0])
        else:
            if not 0 <= statement.number < len(session.result):
                raise InvalidRequest(
                    detail=f"the last result has {len(session.result)} rows that can be displayed, from 0; "
                    f"none is number {statement.number}"
                )
            row = session.result[statement.number]
            if not isinstance(row, Element):
                self._output.result(facts(row), "\n".join(f"{name}: {value}" for name, value in row.fields()))
                return
            session.record = row
        self._output.result(facts(session.record), record_json(session.record))

    # --- databases

    def _database(self, statement: Connect | Disconnect | CreateDatabase | DropDatabase) -> None:
        session = self._session
        match statement:
            case Connect(name):
                found = session.client.database(name)
                session.database, session.result, session.record = found.name, [], None
                self._output.result({"database": found.name}, f"Current database is: {found.name}")
            case Disconnect():
                session.database, session.result, session.record = None, [], None
                self._output.result({"database": None}, "OK")
            case CreateDatabase(name):
                session.client.create_database(name)
                session.database, session.result, session.record = name, [], None
                self._output.result(
                    {"database": name}, f"Database created successfully.\n\nCurrent database is: {name}"
                )
            case DropDatabase(name):
                dropped = name or session.name
                session.client.drop_database(dropped)
                if session.database == dropped:
                    session.database, session.result, session.record = None, [], None
                self._output.result({"dropped": dropped}, f"Database '{dropped}' deleted successfully")

    def _listing(self, what: str) -> None:
        width = self._session.settings.width
        if what == "DATABASES":
            text, found = listings.databases(self._session.client.list_databases())
        elif what == "PROPERTIES":
            settings = self._session.settings
            found = {"limit": settings.limit, "width": settings.width}
            text = "\n".join(f"{name} = {value}" for name, value in found.items())
        else:
            show = {"CLUSTERS": listings.clusters, "CLASSES": listings.classes, "INDEXES": listings.indexes}[what]
            text, found = show(self._session.catalog(), width)
        self._output.result(found, text)

    def _info(self, what: str, name: str) -> None:
        catalog, width = self._session.catalog(), self._session.settings.width
        match what:
            case "CLASS":
                text, found = listings.class_info(catalog, name, width)
            case "PROPERTY":
                text, found = listings.property_info(catalog, name)
            case "CLUSTER":
                text, found = listings.cluster_info(catalog, name)
            case "INDEX":
                text, found = listings.index_info(catalog, name)
            case _:
                text, found = listings.database(catalog, width)
        self._output.result(found, text)

    # --- the rest

    def _transfer(self, statement: Transfer) -> None:
        session, output = self._session, self._output
        match statement.verb, statement.what:
            case "EXPORT", "DATABASE":
                transfer.export_database(session, output, statement.arguments)
            case "EXPORT", "SCHEMA":
                transfer.export_schema(session, output, statement.arguments)
            case "EXPORT", _:
                transfer.export_record(session, output, statement.arguments)
            case "IMPORT", _:
                transfer.import_database(session, output, statement.arguments)
            case "BACKUP", _:
                transfer.backup_database(session, output, statement.arguments)
            case "RESTORE", _:
                transfer.restore_database()
            case _:
                check_database(session, output)

    def _setting(self, statement: Setting | ShowSetting) -> None:
        settings = self._session.settings
        known: dict[str, Any] = {"limit": settings.limit, "width": settings.width}
        if statement.name not in known:
            raise UnfitValue(detail=f"there is no setting `{statement.name}`; there are limit and width")
        if isinstance(statement, Setting):
            try:
                value = int(statement.value)
            except ValueError:
                raise UnfitValue(detail=f"`{statement.value}` is not a number for {statement.name}") from None
            if value < (-1 if statement.name == "limit" else 40):
                raise UnfitValue(detail=f"{value} is too small for {statement.name}")
            setattr(settings, statement.name, value)
            known[statement.name] = value
        value = known[statement.name]
        self._output.result({statement.name: value}, f"{statement.name} = {value}")
