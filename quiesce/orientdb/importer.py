"""Imports an export of OrientDB into a cluster: all of it, or nothing.

The first pass over the file reads all of it and changes nothing, so that a damaged file is refused before anything is
made. The last one fills a database, or clusters of one, that nobody sees, checks them, and publishes them. Whatever
fails in between, they are dropped again. Where ids change, where records may be skipped, and into a database that is
there, a pass between them finds all that could be refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from quiesce.errors import (
    DatabaseExists,
    DatabaseImporting,
    DuplicateKey,
    DuplicateKeyInExport,
    ImportIncomplete,
    ImportLeftBehind,
    QuiesceError,
    UnfinishedImport,
    UnknownDatabase,
)
from quiesce.orientdb.checking import Check, Findings, LookupClient, skips
from quiesce.orientdb.import_progress import ImportProgress, ImportReport
from quiesce.orientdb.merging import Merge, discard_merge, unfinished
from quiesce.orientdb.options import ImportOptions
from quiesce.orientdb.plan import ImportPlan, Passage, new_database_map, with_unknown_clusters
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.orientdb.reporting import report_of
from quiesce.orientdb.reserving import reservations
from quiesce.orientdb.rid_mapping import CLUSTER, mapping_class, mapping_index, mapping_records
from quiesce.orientdb.selection import select
from quiesce.orientdb.survey import Skipped, Survey, survey_steps
from quiesce.orientdb.unique_keys import ClusterKeys, plans_by_cluster
from quiesce.orientdb.writing import RecordWriter, WriteClient
from quiesce.v1.database_pb2 import Cluster, Database, DatabaseState, SchemaChange

CLEANUP_TIMEOUT_S = 30.0


class ImportClient(WriteClient, LookupClient, Protocol):
    """What an import needs of quiesce.client.AsyncClient."""

    async def list_databases(self, *, all: bool = False) -> list[Database]: ...  # noqa: A002, D102
    async def create_database(self, name: str, *, importing: bool = False) -> Database: ...  # noqa: D102
    async def drop_database(self, name: str) -> None: ...  # noqa: D102
    async def database(self, name: str) -> Database: ...  # noqa: D102
    async def alter_schema(  # noqa: D102
        self, name: str, changes: Sequence[SchemaChange], *, timeout_s: float | None = None
    ) -> Database: ...
    async def publish_database(self, name: str) -> Database: ...  # noqa: D102


async def import_export(
    client: ImportClient | None,
    path: Path,
    database: str,
    options: ImportOptions | None = None,
    *,
    discard_unfinished: bool = False,
    progress: ImportProgress | None = None,
) -> ImportReport:
    """Import an export; ids, versions and values stay as they are in the file, unless the options say otherwise.

    Args:
        client: of the cluster; a dry run that does not merge may do without.
        path: the file.
        database: the new database's name; with `merge` that of one that is there.
        options: what to do otherwise.
        discard_unfinished: drop what an interrupted import of that name left behind; the same as the option.
        progress: told how it goes on.

    Raises:
        DatabaseExists, UnknownDatabase, UnfinishedImport, InvalidRequest: before the file is read.
        MalformedExport, TruncatedExport, FileUnusable, MergeConflict: before anything is made.
        DuplicateKeyInExport, ...: what was made is dropped again, or ImportLeftBehind says that it could not be.
    """
    work = _Import(client, path, database, options or ImportOptions(), progress or ImportProgress())
    return await work.run(discard_unfinished or work.options.discard_unfinished)


class _Import:
    def __init__(
        self, client: ImportClient | None, path: Path, database: str, options: ImportOptions, progress: ImportProgress
    ) -> None:
        self._client = client
        self.options = options
        self._database = database
        self._progress = progress
        self._found = Survey(path)
        self._skipped: list[Skipped] = []
        self._skipped_count = 0

    @property
    def client(self) -> ImportClient:
        assert self._client is not None  # noqa: S101 - a dry run alone does without, and asks nothing
        return self._client

    async def run(self, discard: bool) -> ImportReport:
        """Import, or only check."""
        options, found = self.options, self._found
        target = await self._look_at_target(discard)
        await self._survey()
        select(found, options)
        if target is not None:
            return await self._merge(target)
        plan = ImportPlan(found, options, new_database_map(found, options))
        plan.check_sizes()
        self._progress.surveyed(found)
        if options.dry_run or skips(plan) or not plan.map.identity:
            check = self._check(plan, self._keys())
            passage = await self._run_check(check)
            if options.dry_run:
                return self._report(plan, passage, check.found)
            plan.map = with_unknown_clusters(plan.map, passage.check.reach, set())
        return await self._into_new_database(plan)

    # --- before anything is made

    async def _look_at_target(self, discard: bool) -> Database | None:
        """Return the database into which to merge. Raises where the target cannot be taken."""
        if self.options.merge:
            target = await self.client.database(self._database)
            if target.state == DatabaseState.DATABASE_STATE_IMPORTING:
                raise DatabaseImporting(database=self._database)
            if unfinished(target):
                if not discard:
                    raise UnfinishedImport(database=self._database)
                if not self.options.dry_run:
                    target = await discard_merge(self.client, target)
            return target
        if self._client is None:
            return None
        for one in await self.client.list_databases(all=True):
            if one.name == self._database:
                if one.state != DatabaseState.DATABASE_STATE_IMPORTING:
                    raise DatabaseExists(database=self._database)
                if not discard:
                    raise UnfinishedImport(database=self._database)
                if not self.options.dry_run:
                    await self.client.drop_database(self._database)
        return None

    async def _survey(self) -> None:
        skip = self._skip if self.options.on_error == "skip" else None
        for part in survey_steps(self._found, skip):
            self._progress.surveying(part)
            await asyncio.sleep(0)

    def _skip(self, one: Skipped) -> None:
        self._skipped_count += 1
        if len(self._skipped) < 100:
            self._skipped.append(one)
        self._progress.skipped(one)

    def _check(self, plan: ImportPlan, keys: dict[int, ClusterKeys]) -> Check:
        return Check(plan, keys, skip=self._skip if skips(plan) else None, read=self._progress.checking)

    def _keys(self) -> dict[int, ClusterKeys]:
        return plans_by_cluster(self._found.schema.classes, (one.definition for one in self._found.indexes))

    async def _run_check(self, check: Check) -> Passage:
        """Check; tell of keys that are there twice, and refuse them unless something else is to be done with them."""
        passage = await check.run()
        found = check.found
        for one in found.shared:
            self._progress.shared_key(one)
        if found.shared_count and check.skip is None and not self.options.dry_run:
            raise self._duplicate(found)
        return passage

    def _duplicate(self, found: Findings) -> DuplicateKeyInExport:
        first = found.shared[0]
        return DuplicateKeyInExport(
            file=self._found.path,
            count=found.shared_count,
            index=first.index,
            key=first.key,
            rid=first.rid,
            other=first.other,
        )

    # --- a new database

    async def _into_new_database(self, plan: ImportPlan) -> ImportReport:
        made = await self.client.create_database(self._database, importing=True)
        try:
            return await self._fill(plan)
        except BaseException as error:
            await self._undo(error, lambda: self._drop(made))
            raise

    async def _fill(self, plan: ImportPlan) -> ImportReport:
        for changes in plan.schema_changes():
            await self.client.alter_schema(self._database, changes)
        expected = {plan.map.cluster(one.id): plan.found.counts.get(one.id, 0) for one in plan.found.clusters}
        extra: Iterable[ExportedRecord] = ()
        if not self.options.delete_rid_mapping and not plan.map.identity:
            number = max(expected, default=0) + 1
            await self.client.alter_schema(
                self._database,
                [
                    SchemaChange(create_cluster=Cluster(id=number, name=CLUSTER)),
                    SchemaChange(create_class=mapping_class(number)),
                    SchemaChange(create_index=mapping_index()),
                ],
            )
            expected[number] = sum(1 for _ in mapping_records(plan.found, plan.map, number))
            extra = mapping_records(plan.found, plan.map, number)
        passage = plan.passage()
        try:
            await RecordWriter(self.client, self._database, plan, passage, self._progress).run(extra)
        except DuplicateKey as error:
            await self._name_all(plan, error)
        await check_counts(self.client, self._database, expected)
        reserved = reservations(plan, passage.check.reach)
        if reserved:
            await self.client.alter_schema(self._database, reserved)
        await self._publish()
        return self._report(plan, passage, Findings())

    async def _name_all(self, plan: ImportPlan, error: DuplicateKey) -> None:
        """The cluster knows of one key that is there twice; find all of them in the file. Raises."""
        check = Check(plan, self._keys(), read=self._progress.checking)
        await self._run_check(check)
        raise DuplicateKeyInExport(**{**error.fields, "file": plan.found.path, "count": 1}) from error

    async def _publish(self) -> None:
        try:
            await self.client.publish_database(self._database)
        except QuiesceError:
            # The answer may be all that was lost; then the database is there for everyone and must not be dropped.
            if (await self.client.database(self._database)).state != DatabaseState.DATABASE_STATE_ONLINE:
                raise

    async def _drop(self, made: Database) -> None:
        """Remove the half-made database; nobody has seen it.

        Only the one that this import made: another import with --discard-unfinished may have dropped it, and what bears
        its name now is that one's, perhaps published.
        """
        if any(one.id == made.id for one in await self.client.list_databases(all=True)):
            await self.client.drop_database(made.name)

    async def _undo(self, error: BaseException, undo: Callable[[], Awaitable[None]]) -> None:
        try:
            # Once more cancelled, this ends at once, and the leftover is the next import's to discard.
            async with asyncio.timeout(CLEANUP_TIMEOUT_S):
                await undo()
        except UnknownDatabase:
            return
        except (QuiesceError, TimeoutError) as failure:
            detail = error if isinstance(error, QuiesceError) else type(error).__name__
            cleanup = failure if isinstance(failure, QuiesceError) else f"no answer in {CLEANUP_TIMEOUT_S:.0f} s"
            raise ImportLeftBehind(database=self._database, detail=detail, cleanup=cleanup) from error

    # --- into a database that is there

    async def _merge(self, target: Database) -> ImportReport:
        merge = Merge(self._found, self.options, target)
        merge.check_definitions()
        plan = merge.predicted()
        plan.check_sizes()
        self._progress.surveyed(self._found)
        check = self._check(plan, merge.keys())
        check.client, check.database, check.there = self.client, self._database, merge.unique_indexes()
        passage = await self._run_check(check)
        if self.options.dry_run:
            return self._report(plan, passage, check.found)
        made = merge.hidden_clusters(passage.check.reach)
        try:
            plan = await merge.make(self.client, made)
            passage = plan.passage()
            extra = merge.mapping_records(plan)
            await RecordWriter(self.client, self._database, plan, passage, self._progress).run(extra)
            await check_counts(self.client, self._database, merge.expected(plan))
            await merge.publish(self.client, plan, reservations(plan, passage.check.reach))
        except BaseException as error:
            await self._undo(error, lambda: merge.drop(self.client))
            if isinstance(error, DuplicateKey):
                # One that came into the database meanwhile, or in an index that is new and concerns records of before.
                raise DuplicateKeyInExport(**{**error.fields, "file": self._found.path, "count": 1}) from error
            raise
        return self._report(plan, passage, Findings())

    def _report(self, plan: ImportPlan, passage: Passage, findings: Findings) -> ImportReport:
        report = report_of(self._database, plan, passage, findings)
        report.skipped, report.skipped_listed = self._skipped_count, self._skipped
        return report


async def check_counts(client: ImportClient, database: str, expected: dict[int, int]) -> None:
    """Check that clusters hold so many records. Raises ImportIncomplete."""
    clusters = {one.id: one for one in (await client.database(database)).clusters}
    for number, count in expected.items():
        actual = clusters[number].records if number in clusters else 0
        if actual != count:
            name = clusters[number].name if number in clusters else f"#{number}"
            raise ImportIncomplete(database=database, cluster=name, actual=actual, expected=count)
