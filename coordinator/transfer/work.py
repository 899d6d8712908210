"""`quiesce import` or `quiesce export` as a process of its own, whose lines of JSON tell how it goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from coordinator.child import Child
from coordinator.transfer.spool import Place
from quiesce import errors
from quiesce.errors import DeadlineExceeded, QuiesceError, TransferFailed

# What it has begun it takes back when it is asked to end, and it gives up after 30 s.
END_S = 40.0

Line = dict[str, Any]


class Work:
    """One process; it does not outlive this one. `idle_s`: the most seconds from one line to the next."""

    def __init__(self, place: Place, *, idle_s: float) -> None:
        self._place = place
        self._idle_s = idle_s
        self._child: Child | None = None

    async def run(self, arguments: Sequence[str], *, file_name: str) -> AsyncIterator[Line]:
        """Yield the lines that it writes; the last one is its result.

        Raises:
            QuiesceError: as the process did; `file_name` stands for the file's own name in it.
            TransferFailed: the process died, or could not be started.
        """
        log = self._place.directory / "log"
        try:
            self._child = await Child.start(
                ["--output", "json", *arguments], directory=self._place.directory, log=log, read=True
            )
        except OSError as error:
            raise TransferFailed(detail=f"no process could be started: {error}") from error
        lines = self._child.lines()
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    line = await anext(lines, None)
            except TimeoutError:
                raise DeadlineExceeded(operation="The transfer", seconds=f"{self._idle_s:g}") from None
            if line is None:
                break
            yield _parsed(line)
        code = await self._child.wait()
        if code:
            raise _failure(self._child.last_words(), code, file_name)

    async def end(self) -> None:
        """Let it take back what it has begun, and wait until it is gone."""
        if self._child is None:
            return
        self._child.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                # A full pipe must not keep it from its end.
                async for _ in self._child.lines():
                    pass
                await self._child.wait()
        await self._child.kill()


def _parsed(line: bytes) -> Line:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise TransferFailed(detail=f"the process said {line[:100]!r}") from error


def _failure(last_words: str, code: int, file_name: str) -> QuiesceError:
    try:
        said = msgspec.json.decode(last_words, type=dict[str, Any])
        fields = {**said["fields"], **({"file": file_name} if "file" in said["fields"] else {})}
        return errors.from_reason(said["reason"], fields)
    except (msgspec.DecodeError, KeyError, TypeError):
        return TransferFailed(detail=f"the process ended with {code}: {last_words}")
