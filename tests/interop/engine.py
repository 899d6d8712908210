"""The real OrientDB, as a process that does one thing after the other for a test."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.interop.jars import Jars, jars

# On a machine under load the JVM alone takes many seconds to start.
START_S = 60
TRANSFER_S = 300
SQL_S = 60
ROWS = 100_000
_HELD_LINES = 10_000
_OPENED = ("java.nio", "sun.nio.ch", "java.lang", "java.util", "java.util.concurrent", "sun.security.x509")
_SETTINGS = (
    "storage.diskCache.bufferSize=256",
    "security.userPasswordSaltIterations=10",
    "index.allowManualIndexes=true",
    "db.custom.support=true",
    # What the databases hold is thrown away.
    "storage.useWAL=true",
    "storage.wal.syncOnPageFlush=false",
    # DATE is exported as the midnight of the time zone.
    "user.timezone=UTC",
    "user.language=en",
    "file.encoding=UTF-8",
    "java.awt.headless=true",
    "polyglot.engine.WarnInterpreterOnly=false",
)


class EngineFailed(Exception):
    """OrientDB reported an error, as text."""


class EngineHung(Exception):
    """OrientDB did not answer in time, or ended; the message has what it wrote last."""


@dataclass(slots=True)
class Answer:
    """What came back: the engine's own messages, and rows of SQL.

    A row is {"rid", "version", "class", "fields": {name: {"type", "value"}}};
    the first three only where it is a record.
    Decimals, floats and doubles are text, dates are milliseconds, binaries are base64.
    """

    said: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)


class Engine:
    """OrientDB in a JVM of its own, with its databases below `directory`.

    A context manager. Every call has a deadline, in seconds, behind which the process is killed. Raises EngineFailed,
    EngineHung.
    """

    def __init__(self, directory: Path, *, version: str | None = None, heap_mb: int = 1024) -> None:
        """Raises NoEngine where OrientDB cannot run here."""
        self.jars: Jars = jars(version)
        directory.mkdir(parents=True, exist_ok=True)
        command = [self.jars.java, f"-Xmx{heap_mb}m", *(f"-D{one}" for one in _SETTINGS)]
        command += [f"--add-opens=java.base/{one}=ALL-UNNAMED" for one in _OPENED]
        command += ["-cp", self.jars.class_path, "Driver", str(directory)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=directory
        )
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue(_HELD_LINES)
        self._log: deque[str] = deque(maxlen=200)
        assert self._process.stdout
        assert self._process.stderr
        self._threads = [
            threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._drain, args=(self._process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        try:
            self._await_answer(START_S)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def version(self) -> str:
        """Which OrientDB this is."""
        return self.jars.version

    @property
    def log(self) -> str:
        """The end of what the engine logged."""
        return "".join(self._log)

    def close(self) -> None:
        """End the process; the databases stay where they are."""
        with contextlib.suppress(OSError):
            assert self._process.stdin
            self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        # The reader waits where the queue is full.
        while any(thread.is_alive() for thread in self._threads):
            with contextlib.suppress(queue.Empty):
                self._answers.get(timeout=0.05)

    def pause(self) -> None:
        """Stop the process as a hang would."""
        self._process.send_signal(signal.SIGSTOP)

    def create(self, database: str, *, storage: str = "PLOCAL", timeout_s: float = START_S) -> None:
        """Create an empty database with the users that OrientDB gives it."""
        self._ask(timeout_s, do="create", database=database, storage=storage)

    def drop(self, database: str, *, timeout_s: float = START_S) -> None:
        """Remove a database."""
        self._ask(timeout_s, do="drop", database=database)

    def import_file(self, database: str, path: Path, options: str = "", *, timeout_s: float = TRANSFER_S) -> str:
        """Run IMPORT DATABASE; return what it said, which may be that something failed."""
        return self._ask(timeout_s, do="import", database=database, file=str(path), options=options).said

    def export_file(self, database: str, path: Path, options: str = "", *, timeout_s: float = TRANSFER_S) -> str:
        """Run EXPORT DATABASE into `path`, whose name should end in `.gz`; return what it said."""
        return self._ask(timeout_s, do="export", database=database, file=str(path), options=options).said

    def sql(self, database: str, text: str, *, rows: int = ROWS, timeout_s: float = SQL_S) -> list[dict[str, Any]]:
        """Run one statement; return its rows. More than `rows` are an error."""
        return self._ask(timeout_s, do="sql", database=database, text=text, rows=rows).rows

    @contextlib.contextmanager
    def database(self, name: str, *, storage: str = "PLOCAL") -> Iterator[str]:
        """A database for one purpose, dropped behind it."""
        self.create(name, storage=storage)
        try:
            yield name
        finally:
            # A failure must not hide the one before; the directory is thrown away in any case.
            with contextlib.suppress(EngineFailed, EngineHung):
                self.drop(name)

    def _ask(self, timeout_s: float, **request: object) -> Answer:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise EngineHung(f"OrientDB has ended: {self.log[-2_000:]}") from error
        return self._await_answer(timeout_s)

    def _await_answer(self, timeout_s: float) -> Answer:
        answer = Answer()
        said: list[str] = []
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._answers.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                self._process.kill()
                raise EngineHung(f"no answer within {timeout_s} s: {''.join(said)[-2_000:]} {self.log}") from None
            if line is None:
                raise EngineHung(f"OrientDB has ended: {''.join(said)[-2_000:]} {self.log}")
            if "row" in line:
                answer.rows.append(line["row"])
            elif "said" in line:
                said.append(line["said"])
            else:
                answer.said = "".join(said)
                if "error" in line:
                    raise EngineFailed(f"{line['error']} (it said: {answer.said[-1_000:]})")
                return answer

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self._answers.put(json.loads(line))
        self._answers.put(None)

    def _drain(self, lines: IO[str]) -> None:
        self._log.extend(lines)
