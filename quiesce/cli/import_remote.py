"""`quiesce import --via-coordinator`: the file goes to a coordinator, and what it tells is shown here."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from quiesce.cli.import_text import SkippedFile
from quiesce.cli.output import Output
from quiesce.cli.progress import Progress
from quiesce.client.transfers import Transfers
from quiesce.errors import TransferFailed
from quiesce.orientdb import ImportOptions, OnError
from quiesce.v1.transfer_pb2 import ImportResponse, ImportSettings


def settings_of(options: ImportOptions) -> ImportSettings:
    """Return the options as they travel."""
    return ImportSettings(
        merge=options.merge,
        preserve_cluster_ids=options.preserve_cluster_ids,
        preserve_rids=options.preserve_rids,
        migrate_links=options.migrate_links,
        delete_rid_mapping=options.delete_rid_mapping,
        include_classes=sorted(options.include_classes or ()),
        exclude_classes=sorted(options.exclude_classes),
        include_clusters=sorted(options.include_clusters or ()),
        exclude_clusters=sorted(options.exclude_clusters),
        include_records=options.include_records,
        include_indexes=options.include_indexes,
        include_manual_indexes=options.include_manual_indexes,
        skip_failed=options.on_error == OnError.SKIP,
        dry_run=options.dry_run,
        discard_unfinished=options.discard_unfinished,
        time_zone=options.time_zone,
    )


async def import_remote(
    coordinator: str,
    file: Path,
    database: str,
    options: ImportOptions,
    output: Output,
    stack: ExitStack,
    skipped: SkippedFile | None,
) -> dict[str, Any]:
    """Send the file, show how it goes on, and return the report."""
    shown = _Shown(output, stack.enter_context(ExitStack()), skipped)
    async with Transfers(coordinator) as transfers:
        answers = transfers.import_file(file, database, settings_of(options))
        try:
            async for answer in answers:
                if answer.WhichOneof("event") == "report":
                    return msgspec.json.decode(answer.report, type=dict[str, Any])
                shown.take(answer, file)
        finally:
            await answers.aclose()
    raise TransferFailed(detail="it sent no report")


class _Shown:
    def __init__(self, output: Output, bars: ExitStack, skipped: SkippedFile | None) -> None:
        self._output = output
        self._bars = bars
        self._skipped = skipped
        self._title = ""
        self._bar: Progress | None = None

    def take(self, answer: ImportResponse, file: Path) -> None:
        """Show what the coordinator told."""
        match answer.WhichOneof("event"):
            case "received":
                self._move("Send", answer.received, file.stat().st_size, "bytes")
            case "progress":
                told = answer.progress
                self._move(told.title, told.done, told.total, told.unit)
            case "message":
                facts = msgspec.json.decode(answer.message.facts, type=dict[str, Any])
                if "skipped" in facts and self._skipped is not None:
                    self._skipped.add(facts["skipped"])
                if "skipped" not in facts or self._output.json:
                    self._output.message(answer.message.text, **facts)

    def _move(self, title: str, done: int, total: int, unit: str) -> None:
        if title != self._title or self._bar is None:
            self._bars.close()
            self._title = title
            progress = self._output.progress(title, total=total or None, unit=unit, binary=unit == "bytes")
            self._bar = self._bars.enter_context(progress)
        if self._bar is not None:
            self._bar.update(done, total or None)
