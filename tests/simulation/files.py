"""The file system below the store, on a simulated disk."""

from __future__ import annotations

from pathlib import Path

from nodes.store.engine import Engine
from nodes.store.files import Files
from quiesce.errors import DamagedStore
from tests.simulation.disk import Directory, File, SimulatedDisk
from tests.simulation.engine import Image, SimulatedEngine


class SimulatedFiles(Files):
    """As `Files`. A store's directory is one thing, which is there as a whole or is damaged."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk

    def open_engine(self, directory: Path, *, whole: bool = False) -> Engine:
        return SimulatedEngine(self._disk, directory)

    def make_directory(self, directory: Path) -> None:
        self._disk.make_directory(directory)

    def exists(self, path: Path) -> bool:
        if path.name == "CURRENT" and isinstance(image := self._disk.names.get(path.parent), Image):
            return not image.damaged
        return path in self._disk.names

    def directories(self, directory: Path) -> list[Path]:
        found = (path for path, thing in self._disk.names.items() if isinstance(thing, Directory))
        return sorted(path for path in found if path.parent == directory)

    def read_text(self, path: Path) -> str:
        return self._disk.file(path).data.decode()

    def write_durably(self, path: Path, content: bytes) -> None:
        disk, part = self._disk, path.with_name(path.name + ".part")
        disk.operation("writing", part)
        disk.change(File(content, synced=True), target=part)
        disk.operation("writing", path)
        disk.change(disk.names[part], source=part, target=path)
        disk.sync_directory(path.parent)

    def move(self, source: Path, target: Path) -> None:
        disk = self._disk
        if source not in disk.names:
            raise DamagedStore(path=source, detail="there is nothing to move")
        assert target not in disk.names, f"{target} exists"
        disk.operation("moving", source)
        disk.change(disk.names[source], source=source, target=target)
        disk.operation("moving", source)

    def sync_directory(self, directory: Path) -> None:
        self._disk.sync_directory(directory)

    def sync_tree(self, directory: Path) -> None:
        disk = self._disk
        disk.operation("fsync", directory)
        disk.sync_cost()
        image = disk.names[directory]
        assert isinstance(image, Image)
        image.synced = True
        disk.version += 1

    def remove_tree(self, directory: Path) -> None:
        self._disk.remove_tree(directory)
