"""What the repository has already: unchanged pages by their stamps, equal content by its digest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from nodes.worker.stray import StrayPacks
from nodes.worker.table_builder import Place
from quiesce.errors import DamagedObject
from quiesce.repository import Repository, layout
from quiesce.repository.verify import check_table
from quiesce.snapshot import Manifest, ManifestMark, PageTable, Row


class Base:
    """An earlier snapshot, whose pages need not be uploaded again, nor read where their stamps have not changed."""

    def __init__(self, manifest: Manifest, table: PageTable, usable: Collection[bytes], *, same_history: bool) -> None:
        self.manifest = manifest
        self._by_stamp = same_history
        self._databases = {(database.name, database.id) for database in table.databases}
        self._pages: dict[tuple[str, int, int], list[tuple[Row, Place]] | None] = {}
        self._places: dict[bytes, Place] = {}
        for row in table.rows:
            key = (table.databases[row.database].name, row.cluster, row.page)
            pack = table.packs[row.pack]
            if pack not in usable:
                self._pages[key] = None
                continue
            place = Place(pack, row.offset, row.stored_length)
            self._places[row.digest] = place
            segments = self._pages.setdefault(key, [])
            if segments is not None:
                segments.append((row, place))

    def find(self, digest: bytes) -> Place | None:
        """Return where content of that digest lies, if the base has it."""
        return self._places.get(digest)

    def unchanged(
        self, name: str, database_id: int, cluster: int, page: int, stamp: int
    ) -> list[tuple[Row, Place]] | None:
        """Return the segments of a page that was not written to since the base; None: it has to be read.

        The list is empty for a page that had no records then and has none now.
        """
        # A database that the base leaves out has no rows in it either, and yet is not empty.
        known = self._by_stamp and (name, database_id) in self._databases and stamp <= self.manifest.mark.index
        if not known:
            return None
        segments = self._pages.get((name, cluster, page), [])
        # A stamp other than the base's means that one of the two is wrong: reading decides.
        if segments is None or any(row.stamp != stamp for row, _ in segments):
            return None
        return segments


class Known:
    """All that is in the repository and may be pointed to: the base if there is one, and packs without a manifest.

    `avoid` names what is not to be used, nor to be stored again under its name.
    """

    def __init__(self, base: Base | None, stray: StrayPacks, avoid: Collection[str]) -> None:
        self.base = base
        self.avoid = avoid
        self._stray = stray

    def find(self, digest: bytes) -> Place | None:
        """Return where content of that digest lies, if anywhere."""
        return (self.base.find(digest) if self.base else None) or self._stray.find(digest)


def find_known(
    repository: Repository,
    cluster_id: str,
    mark: ManifestMark,
    wanted: Collection[str],
    warn: Callable[[str], None],
    avoid: Collection[str] = frozenset(),
) -> Known:
    """Return what a snapshot of the databases `wanted` at `mark` may reuse: see `find_base`, and packs without one.

    Nothing of what `avoid` names.
    """
    manifests = repository.list_snapshots(lambda damage: warn(damage.message()))
    sizes = {pack: size for pack, size in repository.pack_sizes().items() if layout.pack(pack) not in avoid}
    base = _best(repository, manifests, sizes, (cluster_id, mark, wanted), warn)
    named = {pack.digest for manifest in manifests for pack in manifest.packs}
    strays = {pack: size for pack, size in sizes.items() if pack not in named}
    return Known(base, StrayPacks(repository, strays, warn), avoid)


def find_base(
    repository: Repository,
    cluster_id: str,
    mark: ManifestMark,
    wanted: Collection[str],
    warn: Callable[[str], None],
) -> Base | None:
    """Return the base of a snapshot of the databases `wanted` at `mark`.

    It is the newest snapshot of the same cluster up to the mark that has the most of those databases. Where there is
    none, that of another cluster (the one this was restored from) still saves uploads. What is damaged or gone is told
    to `warn` and uploaded anew.
    """
    manifests = repository.list_snapshots(lambda damage: warn(damage.message()))
    return _best(repository, manifests, repository.pack_sizes(), (cluster_id, mark, wanted), warn)


def _best(
    repository: Repository,
    manifests: Iterable[Manifest],
    sizes: Mapping[str, int],
    sought: tuple[str, ManifestMark, Collection[str]],
    warn: Callable[[str], None],
) -> Base | None:
    cluster_id, mark, wanted = sought

    def usefulness(manifest: Manifest) -> tuple[bool, int, int, int]:
        covered = len({database.name for database in manifest.databases} & set(wanted))
        return (_earlier(manifest, cluster_id, mark), covered, manifest.mark.term, manifest.mark.index)

    for manifest in sorted(manifests, key=usefulness, reverse=True):
        try:
            table = check_table(repository, manifest)
        except DamagedObject as damage:
            warn(damage.message())
            continue
        usable = _usable(manifest, sizes, warn)
        return Base(manifest, table, usable, same_history=_earlier(manifest, cluster_id, mark))
    return None


def _earlier(manifest: Manifest, cluster_id: str, mark: ManifestMark) -> bool:
    there = manifest.mark
    return manifest.cluster_id == cluster_id and (there.term, there.index) <= (mark.term, mark.index)


def _usable(manifest: Manifest, sizes: Mapping[str, int], warn: Callable[[str], None]) -> set[bytes]:
    usable = set()
    for pack in manifest.packs:
        if sizes.get(pack.digest) == pack.size:
            usable.add(bytes.fromhex(pack.digest))
        else:
            warn(
                f"pack {pack.digest} of snapshot {manifest.snapshot_id} is missing, cut short or going away; "
                "its pages are redone"
            )
    return usable
