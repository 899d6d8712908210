"""EXPORT, IMPORT, BACKUP and RESTORE: the commands of the shell of the same names, in OrientDB's spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from quiesce.cli.output import Output
from quiesce.client import BlockingBackups
from quiesce.console.session import Session
from quiesce.console.values import record_json
from quiesce.errors import InvalidRequest, StatementNotSupported, UnfitValue
from quiesce.orientdb.options import parse_import_options

_FILE = re.compile(
    r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<plain>[^\s-]\S*))?\s*(?P<rest>.*)""", re.DOTALL
)


def file_and_options(arguments: str) -> tuple[str, str]:
    """Return the file that stands first, in quotes or not, and the options behind it."""
    found = _FILE.match(arguments)
    if found is None:
        return "", arguments.strip()
    return found["double"] or found["single"] or found["plain"] or "", found["rest"].strip()


def export_database(session: Session, output: Output, arguments: str) -> None:
    """Carry out EXPORT DATABASE [file] [-options]."""
    from quiesce.cli.commands.export import command

    file, options = file_and_options(arguments)
    _run(command, output, [session.name, *([file] if file else []), *_spelt(options), "--cluster", session.cluster])


def export_schema(session: Session, output: Output, arguments: str) -> None:
    """Carry out EXPORT SCHEMA [file]: an export without records, which can be imported."""
    file, options = file_and_options(arguments)
    if options:
        raise InvalidRequest(detail=f"EXPORT SCHEMA takes a file, and no options: `{options}`")
    name = file or f"{session.name}-schema"
    export_database(session, output, f'"{name}" -excludeAll -includeSchema=true')


def export_record(session: Session, output: Output, arguments: str) -> None:
    """Carry out EXPORT RECORD json: the record that was loaded or displayed last."""
    form = (arguments.split() or ["json"])[0].lower()
    if form != "json":
        raise StatementNotSupported(what=f"EXPORT RECORD {form}", instead=": json is the only form")
    if session.record is None:
        raise InvalidRequest(detail="there is no current record: LOAD RECORD #12:3 makes one the current one")
    text = record_json(session.record)
    output.result({"rid": str(session.record.rid), "json": text}, text)


def import_database(session: Session, output: Output, arguments: str) -> None:
    """Carry out IMPORT DATABASE file [-options], into the database in use.

    Without -merge=true that has to be empty, as one that was just created is: it is dropped, and appears again when all
    of the file is in and checked.
    """
    from quiesce.cli.commands.import_ import command

    file, options = file_and_options(arguments)
    if not file:
        raise InvalidRequest(detail="IMPORT DATABASE takes the name of a file")
    name = session.name
    command_line = [file, "--database", name, *_spelt(options), "--cluster", session.cluster]
    if parse_import_options(options).merge:
        _run(command, output, command_line)
        return
    catalog = session.catalog()
    if catalog.records([cluster.id for cluster in catalog.database.clusters]):
        raise UnfitValue(
            detail=f"database `{name}` holds records: an import without -merge=true needs an empty one, as it is after "
            "CREATE DATABASE"
        )
    session.client.drop_database(name)
    try:
        _run(command, output, command_line)
    except BaseException:
        # What was in use stays in use, as empty as it was; its classes were those of a new database.
        session.client.create_database(name)
        raise


def backup_database(session: Session, output: Output, arguments: str) -> None:
    """Carry out BACKUP DATABASE: a snapshot of one replica, by the coordinator, while the others serve."""
    from quiesce.cli.commands.backup import follow

    if arguments:
        output.message(f"Note: `{arguments}` is not used; snapshots go into the repository of the coordinator.")
    with BlockingBackups(session.coordinator) as backups:
        follow(output, backups, backups.create(databases=[session.name]))


def restore_database() -> None:
    """Say how a restore is done.

    Raises:
        StatementNotSupported: always.
    """
    raise StatementNotSupported(
        what="RESTORE DATABASE",
        instead=": a restore makes a new cluster, by the shell's `quiesce restore` (`quiesce snapshots` shows of what)",
    )


def _spelt(options: str) -> list[str]:
    return ["--options", options] if options else []


def _run(command: click.Command, output: Output, arguments: Sequence[str]) -> None:
    """Run a command of the shell.

    Raises:
        QuiesceError: as it does.
        InvalidRequest: its arguments are wrong.
    """
    try:
        command.main(list(arguments), prog_name=f"quiesce {command.name}", obj=output, standalone_mode=False)
    except click.ClickException as error:
        raise InvalidRequest(detail=error.format_message()) from None
