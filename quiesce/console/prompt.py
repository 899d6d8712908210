"""The prompt: history, completion, statements over several lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from quiesce.cli.output import Output
from quiesce.console.completion import StatementCompleter
from quiesce.console.interpreter import Interpreter
from quiesce.console.scripts import statements
from quiesce.console.session import Session
from quiesce.errors import QuiesceError
from quiesce.sql.parsing import incomplete, parse


def history_path() -> Path:
    """Return where the history is kept."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "quiesce" / "console_history"


def history() -> History:
    """Return the history of earlier consoles; where it cannot be kept, that of this one."""
    path = history_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Statements may hold what is nobody else's business.
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def is_finished(text: str) -> bool:
    """Return whether Enter ends what was typed: behind a semicolon, or where the last statement is not cut off."""
    pieces = [piece.text for piece in statements(text)]
    return not pieces or text.rstrip().endswith(";") or not incomplete(pieces[-1])


def _bindings() -> KeyBindings:
    from prompt_toolkit.application.current import get_app

    bindings = KeyBindings()

    @Condition
    def finished() -> bool:
        return is_finished(get_app().current_buffer.text)

    @bindings.add("enter", filter=finished)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    return bindings


class _Names:
    """Names of classes, fields, clusters and indexes of the database in use, read when it or its schema changes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._database: str | None = None
        self._known: list[str] = []

    def __call__(self) -> list[str]:
        return self._known

    def refresh(self) -> None:
        if self._session.database is None:
            self._known = []
            return
        try:
            database = self._session.catalog().database
        except QuiesceError:
            return
        self._known = [
            *(one.name for one in database.classes),
            *(declared.name for one in database.classes for declared in one.properties),
            *(f"cluster:{one.name}" for one in database.clusters),
            *(f"index:{one.name}" for one in database.indexes),
        ]


def run_prompt(session: Session, output: Output) -> None:
    """Ask for statements, and carry them out, until EXIT or the end of the input.

    An error ends its statement only. Ctrl-C ends the statement that runs, or drops what was typed.
    """
    interpreter = Interpreter(session, output)
    names = _Names(session)
    prompt: PromptSession[str] = PromptSession(
        history=history(), completer=StatementCompleter(names), complete_while_typing=False, multiline=True,
        key_bindings=_bindings(),
    )  # fmt: skip
    output.message("Type HELP for the commands, EXIT to leave.")
    while True:
        names.refresh()
        where = "" if session.database is None else f" {{db={session.database}}}"
        try:
            text = prompt.prompt(f"quiesce{where}> ", prompt_continuation=_continuation)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if not _run(text, interpreter, output):
            return


def _continuation(width: int, _line: int, _wrapped: int) -> str:
    return "> ".rjust(width)


def _run(text: str, interpreter: Interpreter, output: Output) -> bool:
    """Carry out what was typed; return whether to go on."""
    pieces: Iterator[str] = (piece.text for piece in statements(text))
    try:
        return all(interpreter.run(parse(piece)) for piece in pieces)
    except QuiesceError as error:
        output.error(error)
    except KeyboardInterrupt:
        output.message("Interrupted.")
    return True
