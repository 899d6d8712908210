"""quiesce import."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from quiesce.cli.import_text import ImportShown, SkippedFile, show
from quiesce.cli.options import DEFAULT_COORDINATOR, cluster_option
from quiesce.cli.output import Output, pass_output
from quiesce.client import AsyncClient
from quiesce.orientdb import ImportOptions, ImportProgress, ImportReport, OnError, import_export, parse_import_options
from quiesce.orientdb.engine_versions import ENGINES
from quiesce.orientdb.progress_lines import Wording

Result = TypeVar("Result")

# A cluster may be electing a leader meanwhile; a whole import should not end for that.
TIMEOUT_S = 30.0
_YES: Any = {"type": bool, "default": True, "show_default": True, "metavar": "BOOLEAN"}


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--database", required=True, metavar="NAME", help="The new database; with --merge one that is there.")
@click.option("--merge", is_flag=True, help="Into a database that is there. Its records stay as they are.")
@click.option("--preserve-rids", **_YES, help="Positions of records as in the file; otherwise from 0 on.")
@click.option("--preserve-cluster-ids", **_YES, help="Cluster ids as in the file, where they are free.")
@click.option("--migrate-links", **_YES, help="Links follow records whose ids change.")
@click.option("--rebuild-indexes", **_YES, help="Without effect: indexes are always kept up to date.")
@click.option("--delete-rid-mapping", **_YES, help="Otherwise the class ___exportImportRIDMap holds which ids changed.")
@click.option("--include-class", multiple=True, metavar="NAME", help="Only records of this class; may be repeated.")
@click.option("--exclude-class", multiple=True, metavar="NAME", help="No records of this class; may be repeated.")
@click.option("--include-cluster", multiple=True, metavar="NAME", help="Only this cluster; may be repeated.")
@click.option("--exclude-cluster", multiple=True, metavar="NAME", help="Not this cluster; may be repeated.")
@click.option("--include-records", **_YES, help="Otherwise only definitions.")
@click.option("--include-indexes", **_YES, help="Definitions of indexes.")
@click.option("--include-manual-indexes", **_YES, help="Manual indexes, which are only kept.")
@click.option("--dry-run", is_flag=True, help="Only check the file and report; without --merge no cluster is needed.")
@click.option(
    "--on-error", type=click.Choice([one.value for one in OnError]), default=OnError.STOP.value, show_default=True,
    help="What to do with a record that cannot be imported.",
)  # fmt: skip
@click.option(
    "--orientdb-version", type=click.Choice(list(ENGINES)), help="Speak as this version of OrientDB does meanwhile."
)
@click.option("--skipped", type=click.Path(path_type=Path), metavar="FILE", help="Where to list what was skipped.")
@click.option("--time-zone", default="UTC", show_default=True, help="Of dates that the file has as text.")
@click.option(
    "--options", "spelt", default="", metavar="TEXT",
    help="Options as OrientDB spells them: '-merge=true -preserveRids=false'. Flags that are given go before them.",
)  # fmt: skip
@click.option("--discard-unfinished", is_flag=True, help="First drop what an interrupted import of that name left.")
@click.option("--via-coordinator", is_flag=True, help="Send the file to a coordinator, which does the work.")
@click.option(
    "--coordinator", envvar="QUIESCE_COORDINATOR", default=DEFAULT_COORDINATOR, show_default=True, show_envvar=True,
    help="host:port of the coordinator for --via-coordinator.",
)  # fmt: skip
@cluster_option
@pass_output
@click.pass_context
def command(
    ctx: click.Context,
    output: Output,
    /,
    file: Path,
    database: str,
    via_coordinator: bool,
    coordinator: str,
    cluster: str,
    **given: Any,
) -> None:
    """Import a database from OrientDB's export format.

    FILE is what OrientDB's EXPORT DATABASE wrote, gzip or plain. The database appears when all of it is in and checked,
    or not at all. Record ids, versions and values stay as they are.
    """
    skipped: Path | None = given.pop("skipped")
    wording = Wording.ENGINE if given.pop("orientdb_version") else Wording.MANUAL
    options = _options(ctx, given)
    if skipped is not None and options.on_error != OnError.SKIP:
        raise click.UsageError("--skipped goes with --on-error=skip.")
    if not given["rebuild_indexes"]:
        output.message("--rebuild-indexes: without effect, indexes are kept up to date while records come in.")
    for idle in options.without_effect:
        output.message(f"Without effect: {idle}.")
    with ExitStack() as stack:
        listed = SkippedFile(skipped, stack) if skipped is not None else None
        shown = ImportShown(output, stack, file, database, listed, wording=wording)
        if via_coordinator:
            from quiesce.cli.import_remote import import_remote

            report: ImportReport | dict[str, Any] = run_cancellable(
                import_remote(coordinator, file, database, options, output, stack, listed)
            )
        else:
            report = found = run_cancellable(_import(cluster, file, database, options, shown))
            if not options.dry_run:
                shown.finished(found)
    show(output, report)


# By flag: the option, and what makes it of the flag's value.
_FLAGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    **{
        name: (name, bool)
        for name in (
            "merge", "preserve_cluster_ids", "preserve_rids", "migrate_links", "delete_rid_mapping",
            "include_records", "include_indexes", "include_manual_indexes", "dry_run", "discard_unfinished",
        )
    },
    "time_zone": ("time_zone", str),
    "include_class": ("include_classes", frozenset),
    "exclude_class": ("exclude_classes", frozenset),
    "include_cluster": ("include_clusters", frozenset),
    "exclude_cluster": ("exclude_clusters", frozenset),
    "on_error": ("on_error", OnError),
}  # fmt: skip


def _options(ctx: click.Context, given: dict[str, Any]) -> ImportOptions:
    chosen = {
        option: read(given[flag])
        for flag, (option, read) in _FLAGS.items()
        if ctx.get_parameter_source(flag) is not ParameterSource.DEFAULT
    }
    return replace(parse_import_options(given["spelt"]), **chosen)


def run_cancellable(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end; SIGTERM cancels as Ctrl-C does, so that what was begun is taken back."""

    async def cancellable() -> Result:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio.run makes one
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _import(
    cluster: str, file: Path, database: str, options: ImportOptions, progress: ImportProgress
) -> ImportReport:
    if options.dry_run and not options.merge:
        return await import_export(None, file, database, options, progress=progress)
    async with AsyncClient(cluster, timeout_s=TIMEOUT_S) as client:
        return await import_export(client, file, database, options, progress=progress)
