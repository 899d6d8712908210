"""Snapshots in words and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quiesce.cli.units import amount, seconds_text, time_text
from quiesce.v1.backup_pb2 import SnapshotSummary

COLUMNS = ("id", "taken", "node", ">records", ">pages", ">uploaded", "content id", "verified", "policy", "pinned")


def summary_facts(summary: SnapshotSummary) -> dict[str, Any]:
    """Return a snapshot as JSON has it."""
    return {
        "id": summary.id,
        "content_id": summary.content_id,
        "mark": {"term": summary.mark.term, "index": summary.mark.index, "time_ms": summary.mark.time_ms},
        "cluster_id": summary.cluster_id,
        "node_id": summary.node_id,
        "started_ms": summary.started_ms,
        "ended_ms": summary.ended_ms,
        "pages": summary.pages,
        "pages_uploaded": summary.pages_uploaded,
        "records": summary.records,
        "bytes_raw": summary.bytes_raw,
        "bytes_uploaded": summary.bytes_uploaded,
        "databases": list(summary.databases),
        "verified_ms": summary.verified_ms,
        "policy": summary.policy,
        "pinned": summary.pinned,
    }


def row(summary: SnapshotSummary) -> list[str]:
    """Return a snapshot as a line of a table of `COLUMNS`."""
    return [
        summary.id,
        time_text(summary.ended_ms),
        str(summary.node_id),
        f"{summary.records:,}",
        f"{summary.pages:,}",
        amount(summary.bytes_uploaded, binary=True),
        summary.content_id[:16],
        time_text(summary.verified_ms),
        summary.policy or "-",
        summary.pinned or "-",
    ]


def details(summary: SnapshotSummary) -> str:
    """Return a snapshot in lines."""
    took_s = (summary.ended_ms - summary.started_ms) / 1000
    lines = {
        "Snapshot": summary.id,
        "Content id": summary.content_id,
        "Mark": f"term {summary.mark.term}, index {summary.mark.index}",
        "Replica": f"node {summary.node_id} of cluster {summary.cluster_id}",
        "Taken": f"{time_text(summary.ended_ms)}, in {seconds_text(took_s) if took_s >= 60 else f'{took_s:.1f} s'}",
        "Databases": ", ".join(summary.databases) or "none",
        "Records": f"{summary.records:,} in {summary.pages:,} pages, {summary.pages_uploaded:,} of them uploaded",
        "Size": f"{amount(summary.bytes_raw, binary=True)}, uploaded {amount(summary.bytes_uploaded, binary=True)}",
        "Verified": time_text(summary.verified_ms) if summary.verified_ms else "by no drill",
        "Made for": f"policy {summary.policy}" if summary.policy else "somebody who asked",
        **({"Pinned": summary.pinned} if summary.pinned else {}),
    }
    return "\n".join(f"{name + ':':<12}{value}" for name, value in lines.items())


def attestation_line(content_id: str, attestations: Mapping[str, str] | None) -> str:
    """Return which nodes held at the mark what the snapshot holds, as a line of `details`."""
    said = sorted((attestations or {}).items(), key=lambda one: int(one[0]))
    same = ", ".join(node for node, found in said if found == content_id)
    others = ", ".join(f"node {node} held {found[:16]}" for node, found in said if found != content_id)
    text = f"node {same}" if same else "nobody"
    return f"{'Attested by:':<12} {text}{f'; diverged: {others}' if others else ''}"
