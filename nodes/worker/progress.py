"""What the worker tells its daemon: one JSON object a line on standard output.

`{"type": "progress", …}` at most five times a second, `{"type": "warning", "text"}`, and at the end either
`{"type": "done", …, "manifest": "…"}` (where it attests: `"content_id"`) or `{"type": "error", "reason", "fields"}`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from quiesce.errors import QuiesceError, from_reason
from quiesce.v1.attest_pb2 import AttestProgress
from quiesce.v1.node_pb2 import SnapshotProgress

_INTERVAL_S = 0.2


@dataclass(slots=True)
class Counts:
    """How far a snapshot is; names and meanings as in quiesce.v1.SnapshotProgress."""

    pages_total: int = 0
    pages_done: int = 0
    pages_reused: int = 0
    pages_matched: int = 0
    pages_uploaded: int = 0
    bytes_read: int = 0
    bytes_uploaded: int = 0
    records: int = 0


class ProgressLines:
    """Writes the lines."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._next = clock()

    def progress(self, counts: Counts) -> None:
        """Write where the snapshot is, unless that was written a moment ago."""
        now = self._clock()
        if now >= self._next:
            self._next = now + _INTERVAL_S
            self._write({"type": "progress", **asdict(counts)})

    def warning(self, text: str) -> None:
        """Write something that does not stop the snapshot, but that somebody should know."""
        self._write({"type": "warning", "text": text})

    def done(self, counts: Counts, manifest: bytes) -> None:
        """Write the end: the draft of the manifest. The line is as long as that is."""
        self._write({"type": "done", **asdict(counts), "manifest": manifest.decode()})

    def attested(self, counts: Counts, content_id: str) -> None:
        """Write the end: what the checkpoint holds."""
        self._write({"type": "done", **asdict(counts), "content_id": content_id})

    def error(self, error: QuiesceError) -> None:
        """Write why there is no snapshot."""
        self._write({"type": "error", "reason": error.reason(), "fields": error.fields})

    def _write(self, line: dict[str, object]) -> None:
        self._out.write(json.dumps(line) + "\n")
        self._out.flush()


def parse_line(line: bytes | str) -> SnapshotProgress | QuiesceError | str:
    """Return what a line says, for the daemon that reads it: progress, the error it ended with, or a warning.

    Raises:
        ValueError: it is not a line of the worker.
    """
    found = _parsed(line)
    if isinstance(found, QuiesceError | str):
        return found
    phase = SnapshotProgress.Phase.PHASE_UPLOADING
    if found["type"] == "done":
        phase = SnapshotProgress.Phase.PHASE_DONE
    elif not found["pages_total"]:
        phase = SnapshotProgress.Phase.PHASE_SCANNING
    return SnapshotProgress(
        phase=phase,
        pages_total=found["pages_total"],
        pages_done=found["pages_done"],
        pages_reused=found["pages_reused"] + found["pages_matched"],
        bytes_read=found["bytes_read"],
        bytes_uploaded=found["bytes_uploaded"],
        records=found["records"],
        manifest_draft=found.get("manifest", "").encode(),
    )


def parse_attest_line(line: bytes | str) -> AttestProgress | QuiesceError | str:
    """Return what a line of a worker that attests says, as `parse_line` does.

    Raises:
        ValueError: it is not a line of the worker.
    """
    found = _parsed(line)
    if isinstance(found, QuiesceError | str):
        return found
    return AttestProgress(
        pages_total=found["pages_total"],
        pages_done=found["pages_done"],
        pages_reused=found["pages_reused"],
        bytes_read=found["bytes_read"],
        records=found["records"],
        content_id=found.get("content_id", ""),
    )


def _parsed(line: bytes | str) -> dict[str, Any] | QuiesceError | str:
    found = json.loads(line)
    match found.get("type") if isinstance(found, dict) else None:
        case "progress" | "done":
            return dict(found)
        case "error":
            return from_reason(found["reason"], found["fields"])
        case "warning":
            return str(found["text"])
        case _:
            raise ValueError(f"not a line of the snapshot worker: {line[:200]!r}")
