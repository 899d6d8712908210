"""What a command says: for people on a terminal, as plain lines into a file, or as JSON lines for programs.

Text: results on standard output; progress and messages on standard error. JSON lines: everything on standard output,
one object a line with a `type` (`result`, `progress`, `message`), errors on standard error.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

from quiesce.cli.progress import JsonProgress, LineProgress, Progress

if TYPE_CHECKING:
    from rich.console import Console

    from quiesce.errors import QuiesceError

__all__ = ["Output", "Progress", "pass_output"]


class Output:
    """Where a command's output goes; the `obj` of click's context."""

    def __init__(
        self,
        *,
        json: bool = False,
        out: IO[str] | None = None,
        err: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.json = json
        self._given_out = out
        self._given_err = err
        self._clock = clock
        self._console: Console | None = None

    def result(self, facts: Mapping[str, Any], text: str) -> None:
        """Print a command's result: `facts` as JSON, `text` to people."""
        if self.json:
            self._line(self._out, {"type": "result", **facts})
        else:
            click.echo(text, file=self._out)

    def item(self, kind: str, facts: Mapping[str, Any], text: str) -> None:
        """Print one of many lines that together are a result: `facts` as JSON of the type `kind`, `text` to people."""
        if self.json:
            self._line(self._out, {"type": kind, **facts})
        else:
            click.echo(text, file=self._out)

    def line(self, facts: Mapping[str, Any]) -> None:
        """Print a part of a result to programs."""
        self._line(self._out, facts)

    def text(self, text: str) -> None:
        """Print a part of a result to people."""
        click.echo(text, file=self._out)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], facts: Mapping[str, Any]) -> None:
        """Print a result as table, or `facts` as JSON; columns whose name begins with > are set to the right."""
        if self.json:
            self._line(self._out, {"type": "result", **facts})
            return
        right = [column.startswith(">") for column in columns]
        lines = [[column.lstrip(">").upper() for column in columns], *([str(cell) for cell in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = (
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(line, widths, right, strict=True)
            )
            click.echo("  ".join(cells).rstrip(), file=self._out)

    def message(self, text: str, **facts: object) -> None:
        """Say something on the way."""
        if self.json:
            self._line(self._out, {"type": "message", "text": text, **facts})
        elif self._console is not None:
            # Above the bar that is being drawn.
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(text, file=self._err)

    @contextmanager
    def progress(
        self, title: str, *, total: int | None = None, unit: str = "", binary: bool = False
    ) -> Iterator[Progress]:
        """Show the advance of something long while the block runs.

        Args:
            title: what is done; `title` of the JSON lines.
            total: units in all, if known already.
            unit: what is counted: records, pages...
            binary: the units are bytes, shown as KiB, MiB...
        """
        shown: AbstractContextManager[Progress]
        if self.json:
            shown = JsonProgress(title, total, unit, self._clock, lambda line: self._line(self._out, line))
        elif self._err.isatty():
            from rich.console import Console

            from quiesce.cli.bar import BarProgress

            self._console = self._console or Console(file=self._err)
            shown = BarProgress(title, total, unit, binary, self._console)
        else:
            shown = LineProgress(title, total, unit, binary, self._clock, self.message)
        try:
            with shown as progress:
                yield progress
        finally:
            self._console = None

    def error(self, error: QuiesceError) -> None:
        """Print an error."""
        self.failure(error.reason(), str(error), error.exit_code, error.fields)

    def failure(self, reason: str, text: str, exit_code: int, fields: Mapping[str, str] | None = None) -> None:
        """Print an error that is no QuiesceError."""
        if self.json:
            facts = {"reason": reason, "message": text, "exit_code": exit_code, "fields": dict(fields or {})}
            self._line(self._err, {"type": "error", **facts})
        else:
            click.echo(f"quiesce: {text}", file=self._err)

    @property
    def _out(self) -> IO[str]:
        return self._given_out or sys.stdout

    @property
    def _err(self) -> IO[str]:
        return self._given_err or sys.stderr

    def _line(self, stream: IO[str], facts: Mapping[str, Any]) -> None:
        click.echo(msgspec.json.encode(facts).decode(), file=stream)


pass_output = click.make_pass_decorator(Output)
