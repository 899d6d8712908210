"""Packs that no manifest names: what a worker that died has uploaded. The next one goes on from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nodes.worker.table_builder import Place
from quiesce.errors import DamagedObject
from quiesce.repository import Repository, layout

# More of them would be a case for clean-up, not for reuse.
_MOST_PACKS = 1024


class StrayPacks:
    """The segments in such packs, by digest."""

    def __init__(self, repository: Repository, packs: Mapping[str, int], warn: Callable[[str], None]) -> None:
        self._repository = repository
        self._sizes = dict(sorted(packs.items())[:_MOST_PACKS])
        self._warn = warn
        self._checked: dict[str, bool] = {}
        self._entries: dict[bytes, tuple[str, Place]] = {}
        for pack, size in self._sizes.items():
            try:
                index = repository.read_pack_index(pack, size)
            except DamagedObject as damage:
                warn(damage.message())
                continue
            for entry in index:
                self._entries[entry.digest] = (pack, Place(bytes.fromhex(pack), entry.offset, entry.stored_length))

    def find(self, digest: bytes) -> Place | None:
        """Return where content of that digest lies, if in one of the packs, and that one is whole."""
        if digest not in self._entries:
            return None
        pack, place = self._entries[digest]
        # Nobody has ever verified a pack without a manifest.
        if pack not in self._checked:
            self._checked[pack] = self._whole(pack)
        return place if self._checked[pack] else None

    def _whole(self, pack: str) -> bool:
        try:
            self._repository.get_digested(layout.pack(pack), pack, self._sizes[pack])
        except DamagedObject as damage:
            self._warn(damage.message())
            return False
        return True
