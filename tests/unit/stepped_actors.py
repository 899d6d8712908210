"""Processes that work on one directory; each stands before every operation until the test lets it go on or kills it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from quiesce.errors import QuiesceError
from quiesce.repository import DirectoryStore, ObjectInfo, Repository

_BOUND_S = 20.0


class Killed(BaseException):
    """The process is gone."""


class Actor:
    """A process: `work` runs in a thread, on a repository of its own that waits before each operation."""

    def __init__(self, name: str, root: Path, work: Callable[[Repository], object]) -> None:
        self.name = name
        self.error: QuiesceError | None = None
        self.result: object = None
        self.killed = False
        self.done = False
        # What it is about to do.
        self.next = ""
        self._bug: BaseException | None = None
        self._turn = threading.Lock()
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        repository = Repository(_SteppedStore(root, self), "model")
        self._thread = threading.Thread(target=self._run, args=(work, repository), name=name, daemon=True)
        self._thread.start()
        self._wait()

    def _run(self, work: Callable[[Repository], object], repository: Repository) -> None:
        try:
            self.result = work(repository)
        except QuiesceError as error:
            self.error = error
        except Killed:
            pass
        except BaseException as bug:  # noqa: BLE001 - raised in the test
            self._bug = bug
        self.done = True
        self._stopped.release()

    def _wait(self) -> None:
        assert self._stopped.acquire(timeout=_BOUND_S), f"{self.name} hangs before {self.next}"
        if self._bug is not None:
            raise self._bug

    def before(self, operation: str) -> None:
        """Wait for the test, on the thread that is about to do something; one at a time."""
        if self.killed:
            raise Killed
        self.next = operation
        self._stopped.release()
        self._go.acquire()
        if self.killed:
            raise Killed

    def step(self) -> None:
        """Let it do one operation."""
        if not self.done:
            self._go.release()
            self._wait()

    def kill(self) -> None:
        """It does nothing any more, from the operation on before which it stands."""
        self.killed = True
        self.step()
        self._thread.join(_BOUND_S)
        assert self.done

    def finish(self) -> None:
        """Let it go on to its end."""
        while not self.done:
            self.step()


class _SteppedStore:
    def __init__(self, root: Path, actor: Actor) -> None:
        self._store = DirectoryStore(root)
        self._actor = actor
        self.location = str(root)

    def _do(self, operation: str, call: Callable[[], object]) -> object:
        with self._actor._turn:
            self._actor.before(operation)
            return call()

    def put_new(self, name: str, data: bytes) -> bool:
        return bool(self._do(f"put {name}", lambda: self._store.put_new(name, data)))

    def get(self, name: str) -> bytes:
        return self._do(f"get {name}", lambda: self._store.get(name))  # type: ignore[return-value]

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        return self._do(f"get {name}", lambda: self._store.get_range(name, offset, length))  # type: ignore[return-value]

    def size(self, name: str) -> int:
        return self._do(f"size {name}", lambda: self._store.size(name))  # type: ignore[return-value]

    def list_objects(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._do(f"list {prefix}", lambda: list(self._store.list_objects(prefix))))  # type: ignore[call-overload,no-any-return]

    def delete(self, name: str) -> bool:
        return bool(self._do(f"delete {name}", lambda: self._store.delete(name)))

    def clean(self, now_s: float) -> list[str]:
        return self._do("clean", lambda: self._store.clean(now_s))  # type: ignore[return-value]
