"""What a command says: for people on a terminal, as plain lines into a file, or as JSON lines for programs.

Text: results on standard output; progress and messages on standard error. JSON lines: everything on standard output,
one object a line with a `type` (`result`, `progress`, `message`), errors on standard error.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Protocol

import click
import msgspec

from quiesce.errors import QuiesceError


class Progress(Protocol):
    """A piece of work whose advance is shown."""

    def update(self, done: int, total: int | None = None, **facts: object) -> None:
        """Say how far it is.

        Args:
            done: units done so far, not since the last call.
            total: units in all, once known.
            **facts: more to know, shown as they are.
        """


class Output:
    """Where a command's output goes; the `obj` of click's context, or `click.make_pass_decorator(Output)`."""

    def __init__(
        self, *, json: bool = False, out: IO[str] | None = None, err: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.json = json
        self._out = out
        self._err = err
        self._clock = clock

    def result(self, facts: Mapping[str, Any], text: str) -> None:
        """Print a command's result: `facts` as JSON, `text` to people."""

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], facts: Mapping[str, Any]) -> None:
        """Print a result as table: columns with a name that starts with > are set to the right; or `facts` as JSON."""

    def message(self, text: str, **facts: object) -> None:
        """Say something on the way."""

    @contextmanager
    def progress(self, title: str, *, total: int | None = None, unit: str = "", binary: bool = False) -> Iterator[Progress]:
        """Show the advance of something long while the block runs.

        Args:
            title: what is done; `title` of the JSON lines.
            total: units in all, if known already.
            unit: what is counted: records, pages...
            binary: the units are bytes, shown as KiB, MiB...
        """
        yield  # type: ignore[misc]

    def error(self, error: QuiesceError) -> None:
        """Print an error."""


pass_output = click.make_pass_decorator(Output)
