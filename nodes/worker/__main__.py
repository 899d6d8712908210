"""`python -m nodes.worker`: started, watched and ended by the node daemon."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import msgspec

from nodes.rate_limit import RateLimit
from nodes.store import CheckpointReader
from nodes.worker.attest import attest
from nodes.worker.base import find_base, find_known
from nodes.worker.lifetime import Stopped, lower_priority, stop_with_parent
from nodes.worker.progress import Counts, ProgressLines
from nodes.worker.sample import Sample
from nodes.worker.snapshot import SnapshotMaker, SnapshotRequest
from nodes.worker.walk import Walk, chosen
from quiesce.errors import QuiesceError
from quiesce.repository import DirectoryStore, open_repository
from quiesce.repository.writing import Writing
from quiesce.snapshot import ManifestMark, encode_manifest

# Read in a second, and the whole of a small store.
SAMPLE_BYTES = 64 << 20
# As a shell says of a process that SIGTERM has ended.
_STOPPED = 128 + 15


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nodes.worker", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--snapshot-id", default="")
    parser.add_argument("--attest", action="store_true", help="only say what the checkpoint holds; upload nothing")
    parser.add_argument("--cluster-id", required=True)
    parser.add_argument("--node-id", type=int, required=True)
    parser.add_argument("--mark-term", type=int, required=True)
    parser.add_argument("--mark-index", type=int, required=True)
    parser.add_argument("--mark-time-ms", type=int, required=True)
    parser.add_argument("--epoch", type=int, required=True)
    parser.add_argument("--database", action="append", default=[], help="repeat it for several; default: all")
    parser.add_argument("--rate-limit", type=int, default=0, help="most bytes read a second; 0: no limit")
    parser.add_argument(
        "--sample", type=int, default=SAMPLE_BYTES, help="about how many bytes of unchanged pages are read all the same"
    )
    parser.add_argument("--nice", type=int, default=10)
    parser.add_argument("--parent", type=int, help="process id of the daemon, so as not to outlive it")
    asked = parser.parse_args(arguments)
    if bool(asked.snapshot_id) is asked.attest:
        parser.error("either --snapshot-id or --attest")
    return asked


def _attest(asked: argparse.Namespace, lines: ProgressLines, limit: RateLimit) -> None:
    mark = ManifestMark(asked.mark_term, asked.mark_index, asked.mark_time_ms, asked.epoch)
    # Not cleaned: the parts that lie there are those of the snapshot that is being made.
    repository = open_repository(asked.repository)
    source = CheckpointReader(asked.checkpoint)
    names = tuple(asked.database)
    wanted = chosen(source.databases(), names)
    base = find_base(repository, asked.cluster_id, mark, [d.name for d in wanted], lines.warning)
    walk = Walk(source, base, limit, lines.progress, Sample(base, mark, asked.sample))
    found = attest(walk, mark, names)
    lines.attested(walk.counts, found)


def _run(asked: argparse.Namespace, lines: ProgressLines, limit: RateLimit) -> None:
    started_ms = _clock_ms()
    mark = ManifestMark(asked.mark_term, asked.mark_index, asked.mark_time_ms, asked.epoch)
    repository = open_repository(asked.repository)
    # Before it looks what is there: nothing that it finds is removed from then on.
    writing = Writing(repository, asked.snapshot_id, _clock_ms)
    try:
        repository.objects.clean(time.time())
        source = CheckpointReader(asked.checkpoint)
        wanted = [database.name for database in chosen(source.databases(), tuple(asked.database))]
        known = find_known(repository, asked.cluster_id, mark, wanted, lines.warning, writing.avoid)

        def progress(counts: Counts) -> None:
            writing.keep()
            lines.progress(counts)

        sample = Sample(known.base, mark, asked.sample)
        maker = SnapshotMaker(source, repository, known, limit, progress, sample)
        request = SnapshotRequest(
            asked.snapshot_id, asked.cluster_id, asked.node_id, mark, tuple(asked.database), _software()
        )
        draft = maker.run(request, started_ms=started_ms)
        draft = msgspec.structs.replace(draft, ended_ms=_clock_ms())
        lines.done(maker.counts, encode_manifest(draft))
    except (Stopped, QuiesceError) as why:
        if isinstance(why, Stopped) and isinstance(repository.objects, DirectoryStore):
            repository.objects.abandon()
        with contextlib.suppress(QuiesceError):
            writing.give_up()
        raise


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


def _software() -> str:
    try:
        return f"quiesce {metadata.version('quiesce')}"
    except metadata.PackageNotFoundError:
        return "quiesce (not installed)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make one snapshot, or attest a checkpoint, and return the exit code."""
    asked = _arguments(arguments)
    lines, limit = ProgressLines(sys.stdout), RateLimit(asked.rate_limit)
    try:
        stop_with_parent(asked.parent, limit.change)
        lower_priority(asked.nice)
        (_attest if asked.attest else _run)(asked, lines, limit)
    except QuiesceError as error:
        lines.error(error)
        return error.exit_code
    except (Stopped, BrokenPipeError):
        return _STOPPED
    except Exception as error:  # noqa: BLE001 - the daemon must hear of whatever it was
        traceback.print_exc()
        lines.error(QuiesceError(detail=f"{type(error).__name__}: {error}"))
        return QuiesceError.exit_code
    return 0


if __name__ == "__main__":
    code = main()
    if code == _STOPPED:
        # Without waiting for a thread that may be in the middle of an upload.
        os._exit(code)
    sys.exit(code)
