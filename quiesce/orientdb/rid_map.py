"""Which ids records get where they cannot keep those of their file, and where links to missing records then lead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from quiesce.orientdb.rid_set import RidSet
from quiesce.records.rid import MAX_POSITION

Rid = tuple[int, int]


@dataclass(frozen=True, slots=True)
class RidMap:
    """From the ids of a file to those of the database; nothing is kept a record.

    Args (of the constructor):
        rids: the ids of the file.
        clusters: the new cluster id by the old one. Clusters to which only dangling links lead are in it, too.
        dense: positions are numbered from 0 on, in their order; otherwise they stay.
    """

    rids: RidSet
    clusters: Mapping[int, int]
    dense: bool = False

    @property
    def identity(self) -> bool:
        """Whether every record keeps its id."""
        return not self.dense and all(old == new for old, new in self.clusters.items())

    def cluster(self, old: int) -> int:
        """Return the new id of a cluster."""
        return self.clusters.get(old, old)

    def __getitem__(self, rid: Rid) -> Rid:
        """Return the new id of a record; for a missing one an id that no record gets.

        Positions of missing ones are behind those of all records, or the file's own, which is then kept out of use.
        """
        cluster, position = rid
        if cluster < 0 or position < 0:
            return rid
        if self.dense:
            there = rid in self.rids
            position = self.rids.rank(rid) if there else min(self.rids.end(cluster) + position, MAX_POSITION)
        return self.clusters.get(cluster, cluster), position

    def changed(self) -> Iterator[tuple[Rid, Rid]]:
        """Yield the old and the new ids of records whose id changes."""
        for old in self.rids:
            new = self[old]
            if new != old:
                yield old, new
