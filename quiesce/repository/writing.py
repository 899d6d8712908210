"""What a worker tells the repository while it makes a snapshot, and which objects it must leave alone."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass

from quiesce.repository import layout, notes
from quiesce.repository.garbage import newest_list
from quiesce.repository.repository import NONCE_BYTES, Repository
from quiesce.snapshot.pack import PackBuilder

# Without a word for so long a writer counts as dead: longer than it takes to make a page, and than clocks differ.
WRITER_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class StoredPack:
    """A pack in the repository: its digest, and how many bytes were uploaded for it."""

    digest: bytes
    uploaded: int


class Writing:
    """A writer that is at work, from before it looks until its snapshot is published or given up."""

    def __init__(self, repository: Repository, snapshot_id: str, clock: Callable[[], int]) -> None:
        """Announce it, and only then look what is going away; `clock` gives Unix milliseconds."""
        self._notes = notes.writers(repository.objects)
        self._snapshot_id = snapshot_id
        self._clock = clock
        self._seen = newest_list(repository.objects).number
        self._name, self._renew_ms = self._announce()
        self.avoid = going_away(repository)

    def keep(self) -> None:
        """Say that it goes on; to be called often."""
        if self._clock() >= self._renew_ms:
            before = self._name
            self._name, self._renew_ms = self._announce()
            self._notes.remove(before)

    def give_up(self) -> None:
        """Say that there will be no snapshot; one that is published ends it by itself."""
        self._notes.remove(self._name)

    def _announce(self) -> tuple[str, int]:
        now_ms = self._clock()
        writer = notes.Writer(self._snapshot_id, notes.who(), now_ms, now_ms + WRITER_MS, self._seen)
        return self._notes.add(self._snapshot_id, writer), now_ms + WRITER_MS // 8


def going_away(repository: Repository) -> frozenset[str]:
    """Return the names that nothing new may refer to: objects that are listed as garbage, or being removed."""
    listed = newest_list(repository.objects).objects
    swept = (name for sweep in notes.sweeps(repository.objects).all() for name in sweep.value.objects)
    return frozenset((*listed, *swept))


def put_pack(repository: Repository, builder: PackBuilder, avoid: Collection[str]) -> StoredPack:
    """Store a pack, under another name where its own is to be avoided. Raises what `put_table` raises."""
    data, data_digest = builder.finish()
    while layout.pack(data_digest.hex()) in avoid:
        builder.vary(secrets.token_bytes(NONCE_BYTES))
        data, data_digest = builder.finish()
    return StoredPack(data_digest, len(data) if repository.put_pack(data, data_digest) else 0)
