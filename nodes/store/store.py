"""The store of a node: which RocksDB directory is current, and the pinned state that readers share.

`<directory>/CURRENT` names the directory in use. A state received from the leader is opened beside it and takes
effect when CURRENT is replaced, so a crash leaves the old one or the new one, and open views finish on the old one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rocksdict import RdictIter, Snapshot

from nodes.store.current import FILE_NAME, FIRST, directory_in_use, encode_current
from nodes.store.engine import Batch, Engine
from nodes.store.files import Files
from nodes.store.state import StoreState, load_state
from nodes.store.view import StoreView
from quiesce.errors import DamagedStore, StoreClosed

_MAX_SPARE = 64


class _Generation:
    """One RocksDB directory and how many views read it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.views = 0
        self.retired = False


@dataclass(frozen=True, slots=True)
class _Published:
    generation: _Generation
    state: StoreState
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    # RocksDB's number of the last change that belongs to it.
    sequence: int = 0
    # Iterators over exactly this state that no view uses at the moment.
    spare: list[dict[str, RdictIter]] = field(default_factory=list)


class Store:
    """A store; opened, or made where the directory is empty.

    Written by one thread, the applier; read by any number through views, which wait for nothing.

    Raises:
        DirectoryInUse: another process has it open.
        DamagedStore: what is there is not a store, or is damaged.
        DiskFailed: the disk answers with an error.
    """

    def __init__(self, directory: Path, files: Files | None = None) -> None:
        self.directory = directory
        self._files = files = files or Files()
        self._lock = threading.Lock()
        # Held while the state changes; readers take it only if a write came between their iterators.
        self._changing = threading.Lock()
        name = _current_name(directory, files)
        # A process that was killed may have left CURRENT in the page cache only.
        files.sync_directory(directory)
        generation = _Generation(files.open_engine(directory / name))
        # RocksDB syncs its files and their names, and not the name of their directory.
        files.sync_directory(directory)
        files.sync_directory(directory.parent)
        self.state = load_state(generation.engine)
        # Nothing goes before it is known that this one can be read.
        _remove_others(directory, name, files)
        self._publish(generation, self.state)

    @property
    def engine(self) -> Engine:
        """The RocksDB directory in use; for the applier."""
        return self._published.generation.engine

    def view(self) -> StoreView:
        """Pin the last published state for reading; to be closed, or used in a `with`.

        Raises:
            StoreClosed: it is.
        """
        published, iterators = self._acquire()
        if iterators is None:
            iterators = self._iterators(published)
        if iterators is None:
            self._release(published)
            with self._changing:
                published, iterators = self._acquire()
                iterators = iterators or published.generation.engine.iterators()
        directory = published.generation.engine.directory
        return StoreView(published.snapshots, iterators, published.state, directory, _Release(self, published))

    def commit(self, batch: Batch, state: StoreState) -> None:
        """Write a batch that makes `state`, and show it to readers."""
        with self._changing:
            self.engine.write(batch)
            self.state = state
            self._publish(self._published.generation, state)

    def checkpoint(self, directory: Path) -> None:
        """Make `directory`, which must not exist, a copy by hard links; call it between commits only.

        Raises:
            DiskFailed: the disk answers with an error, or is full; nothing is left under that name.
        """
        part = directory.with_name(f".{directory.name}.part")
        self._files.remove_tree(part)
        self._files.make_directory(directory.parent)
        self.engine.checkpoint(part)
        self._files.move(part, directory)
        self._files.sync_directory(directory.parent)

    def replace(self, directory: Path) -> None:
        """Take over a checkpoint: `directory` is moved in and becomes the state; the old one goes with its last view.

        Raises:
            DamagedStore: it is not a checkpoint; the old state stays.
        """
        files = self._files
        old = self._published.generation
        number = int(old.engine.directory.name.removeprefix("store-")) + 1
        moved = self.directory / f"store-{number}"
        files.remove_tree(moved)
        if not files.exists(directory / "CURRENT"):
            raise DamagedStore(path=directory, detail="it holds no store")
        files.sync_tree(directory)
        files.move(directory, moved)
        files.sync_tree(moved)
        files.sync_directory(self.directory)
        generation = _Generation(files.open_engine(moved, whole=True))
        state = load_state(generation.engine)
        files.write_durably(self.directory / FILE_NAME, encode_current(moved.name))
        with self._changing:
            self.state = state
            self._publish(generation, state)
            self._retire(old, remove=True)

    def close(self) -> None:
        """Make everything durable and end; open views may finish."""
        with self._lock:
            generation = self._published.generation
            if generation.retired:
                return
        generation.engine.sync()
        with self._changing:
            self._retire(generation, remove=False)

    def _publish(self, generation: _Generation, state: StoreState) -> None:
        # Taken by the only writer between two writes, so all column families are of one state.
        engine = generation.engine
        published = _Published(generation, state, engine.snapshots(), engine.sequence())
        with self._lock:
            self._published = published

    def _acquire(self) -> tuple[_Published, dict[str, RdictIter] | None]:
        with self._lock:
            published = self._published
            if published.generation.retired:
                raise StoreClosed
            published.generation.views += 1
            return published, published.spare.pop() if published.spare else None

    def _iterators(self, published: _Published) -> dict[str, RdictIter] | None:
        """Return iterators over a published state, or None where something has been written since."""
        engine = published.generation.engine
        try:
            iterators = engine.iterators()
            return iterators if engine.sequence() == published.sequence else None
        except (KeyError, AttributeError):
            # Replaced by another at this moment.
            return None

    def _release(self, published: _Published, iterators: dict[str, RdictIter] | None = None) -> None:
        """Count a view out; the last one of a replaced directory removes it."""
        generation = published.generation
        with self._lock:
            generation.views -= 1
            current = self._published.generation
            if iterators is not None and self._published is published and len(published.spare) < _MAX_SPARE:
                published.spare.append(iterators)
            remove = generation.retired and generation.views == 0 and generation is not current
        if remove:
            self._files.remove_tree(generation.engine.directory)

    def _retire(self, generation: _Generation, *, remove: bool) -> None:
        with self._lock:
            generation.retired = True
            if self._published.generation is generation:
                self._published = _Published(generation, self._published.state)
            unused = generation.views == 0
        generation.engine.close()
        if remove and unused:
            self._files.remove_tree(generation.engine.directory)


@dataclass(frozen=True, slots=True)
class _Release:
    store: Store
    published: _Published

    def __call__(self, iterators: dict[str, RdictIter] | None) -> None:
        self.store._release(self.published, iterators)  # noqa: SLF001 one class in two parts


def _current_name(directory: Path, files: Files) -> str:
    files.make_directory(directory)
    found = directory_in_use(directory, files)
    if found is None:
        files.write_durably(directory / FILE_NAME, encode_current(FIRST))
        return FIRST
    return found.name


def _remove_others(directory: Path, name: str, files: Files) -> None:
    """Remove what a crash in the middle of `replace` left."""
    for entry in files.directories(directory):
        if entry.name != name:
            files.remove_tree(entry)
