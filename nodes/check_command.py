"""`quiesce check`: whether a stopped node's disk still holds what was written to it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quiesce.cli.output import Output, Progress, pass_output
from quiesce.cli.units import amount

if TYPE_CHECKING:
    from nodes.check import Examined


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--quick", is_flag=True, help="Leave out the records and indexes of the store.")
@click.option("--extent", is_flag=True, help="Also say what a snapshot would hold: content id, records, links.")
@pass_output
def check(output: Output, directory: Path, quick: bool, extent: bool) -> int:
    """Examine DIRECTORY, the data of a node that does not run, and change nothing in it.

    Reads identity, Raft log, store and checkpoints, holds them against each other, and says what was read, how far the
    log goes, and everything that is wrong. Ends with 0 where nothing is, with 71 where the log is damaged, and with 73
    where something else is.
    """
    from nodes.check import examine
    from nodes.data_directory import DataDirectory
    from nodes.identity import FILE_NAME
    from quiesce.errors import FileUnusable

    data = DataDirectory(directory.expanduser().absolute())
    # Before there is a lock file in somebody's directory.
    if not (data.path / FILE_NAME).exists():
        raise FileUnusable(file=data.path, detail="it is not the data directory of a node")
    data.lock()
    try:
        with output.progress("Check", unit="entries") as bar:
            examined = examine(data, deep=not quick, progress=_Advance(bar), extent=extent)
    finally:
        data.unlock()
    output.result(_facts(examined), "\n".join(_lines(examined)))
    return examined.findings.worst.exit_code if examined.findings.worst else 0


class _Advance:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._done = 0

    def __call__(self, done: int, total: int | None) -> None:
        self._done += done
        # What RocksDB estimates may be less than there is.
        self._bar.update(self._done, max(total or 0, self._done))


def _facts(examined: Examined) -> dict[str, Any]:
    identity, log, findings = examined.identity, examined.log, examined.findings
    members = examined.membership
    return {
        "data": str(examined.path),
        "sound": findings.count == 0,
        "node_id": identity.node_id if identity else None,
        "cluster_id": identity.cluster_id if identity else None,
        "last_index": log.last[0] if log.last else None,
        "last_term": log.last[1] if log.last else None,
        "commit_index": log.commit,
        "term": log.term,
        "vote": log.vote,
        "base_index": log.base[0] if log.base else None,
        "applied_index": examined.applied[0] if examined.applied else None,
        "applied_term": examined.applied[1] if examined.applied else None,
        "members": {str(node.node_id): node.address for node in members.nodes} if members else None,
        "removed": identity.removed if identity else None,
        "examined": {
            "deep": examined.deep,
            "segments": log.segments,
            "log_records": log.records,
            "log_entries": log.entries,
            "log_bytes": log.size,
            "tables": examined.files.tables,
            "table_bytes": examined.files.bytes,
            **{name: getattr(examined.content, name) for name in examined.content.__slots__},
            "checkpoints": examined.checkpoints,
        },
        "extent": asdict(examined.extent) if examined.extent else None,
        "findings": [
            {"reason": one.error.reason(), "where": one.where, "byte": one.byte, "detail": one.detail}
            for one in findings.listed
        ],
        "findings_count": findings.count,
        "notes": findings.notes,
    }


def _lines(examined: Examined) -> list[str]:
    log, content, findings = examined.log, examined.content, examined.findings
    lines = [_whose(examined)]
    lines.append(
        f"Log: {log.segments} segments, {log.records:,} records, {log.entries:,} entries, "
        f"{amount(log.size, binary=True)}."
    )
    if log.last and log.base:
        lines.append(
            f"  It ends at index {log.last[0]}, term {log.last[1]}; begins behind {log.base[0]}; known to be committed "
            f"up to {log.commit}; in term {log.term}, vote for {log.vote or 'nobody'}."
        )
    files = examined.files
    lines.append(f"Store: {files.tables} tables, {amount(files.bytes, binary=True)}.")
    if examined.applied is not None:
        lines.append(f"  It has the log up to index {examined.applied[0]}, term {examined.applied[1]}.")
    if examined.deep:
        lines.append(
            f"  {content.databases} databases, {content.records:,} records, {content.entries:,} index entries, "
            f"{content.pages:,} pages, {content.sessions} sessions with {content.outcomes} outcomes."
        )
    else:
        lines.append("  Its records and indexes were not read.")
    if examined.extent is not None:
        lines.append(f"Content id: {examined.extent.content_id}.")
        lines += [
            f"  {one.name}: {one.records:,} records, {one.links:,} links to records, {one.dangling_links:,} to none."
            for one in examined.extent.databases
        ]
    if examined.checkpoints:
        lines.append(f"Checkpoints: {', '.join(map(str, examined.checkpoints))}.")
    lines += [f"Note: {note}" for note in findings.notes]
    lines += [f"DAMAGED: {finding.text()}" for finding in findings.listed]
    if findings.count > len(findings.listed):
        lines.append(f"DAMAGED: {findings.count - len(findings.listed)} more like these")
    if findings.worst is None:
        lines.append("Sound.")
    else:
        lines.append(
            "Do not start this node again. Replace it: `quiesce nodes remove`, then `quiesce nodes add` with a new id "
            "and an empty directory."
        )
    return lines


def _whose(examined: Examined) -> str:
    identity = examined.identity
    if identity is None:
        return f"{examined.path}: whose it is cannot be read."
    members = ""
    if examined.membership is not None:
        members = f" of {', '.join(f'{node.node_id}={node.address}' for node in examined.membership.nodes)}"
    removed = "; it was removed" if identity.removed else ""
    return f"Node {identity.node_id}{members}, cluster {identity.cluster_id}{removed}, in {examined.path}."
