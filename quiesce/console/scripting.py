"""Runs scripts."""

from __future__ import annotations

import sys
from pathlib import Path

from quiesce.cli.output import Output
from quiesce.console.interpreter import Interpreter
from quiesce.console.scripts import statements
from quiesce.console.session import Session
from quiesce.errors import UnreadableScript
from quiesce.sql.parsing import parse

SCRIPT_BYTES = 64 << 20


def read_script(path: Path | None) -> str:
    """Return the text of a script; without a path that of standard input.

    Raises:
        UnreadableScript: it cannot be read, is no UTF-8, or too large.
    """
    name = "standard input" if path is None else str(path)
    try:
        if path is None:
            content = sys.stdin.buffer.read(SCRIPT_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(SCRIPT_BYTES + 1)
        if len(content) > SCRIPT_BYTES:
            raise UnreadableScript(path=name, detail=f"it has over {SCRIPT_BYTES >> 20} MiB")
        return content.decode()
    except OSError as error:
        raise UnreadableScript(path=name, detail=error.strerror or error) from None
    except UnicodeDecodeError as error:
        raise UnreadableScript(path=name, detail=f"byte {error.start} is no UTF-8") from None


def run_script(script: str, session: Session, output: Output) -> None:
    """Run the statements of a script, up to EXIT or to the first that fails.

    Raises:
        QuiesceError: of the statement that failed; those before it have been carried out.
    """
    interpreter = Interpreter(session, output)
    for piece in statements(script):
        if not interpreter.run(parse(piece.text, line=piece.line, column=piece.column)):
            return
