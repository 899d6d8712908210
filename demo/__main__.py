"""`make demo`: a cluster of three backs itself up while it serves, and proves it.

Exit code 0 only if all of it held.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from rich.console import Console
from rich.table import Table

from demo.backup import Backup, take_backup
from demo.expected import Content, differences, index_differences, play, read_content
from demo.journal import Acknowledged, Request, read_journal
from demo.running import Cluster, CommandFailed, free_ports, load_process, run
from quiesce.errors import QuiesceError

ROOT = Path(__file__).resolve().parent.parent
WORLD = ROOT / "examples" / "world-3.2.34.json.gz"
SETTLE_S = 6.0
ANSWER_S = 0.25

console = Console(highlight=False)


@dataclass
class Claims:
    """What the demo claims, and whether it held."""

    rows: list[tuple[str, bool, str]] = field(default_factory=list)

    def check(self, claim: str, held: bool, seen: str) -> None:
        self.rows.append((claim, held, seen))
        console.print(f"  {'[green]held[/]' if held else '[red]BROKEN[/]'}  {claim}: {seen}")

    @property
    def all_held(self) -> bool:
        return bool(self.rows) and all(held for _, held, _ in self.rows)


def title(text: str) -> None:
    console.print(f"\n[bold]{text}[/]")


def quantile(sorted_values: list[float], share: float) -> float:
    return (
        sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))] if sorted_values else float("nan")
    )


def report_load(requests: list[Request], backup: Backup, rate: float, claims: Claims) -> None:
    """Print requests and latencies inside and outside the backup, and check P2."""
    table = Table("", "requests", "failed", "per second", "p50", "p99", "slowest")
    begin, end = requests[0].due, max(request.due for request in requests)
    inside = [r for r in requests if backup.started <= r.due < backup.ended]
    outside = [r for r in requests if not backup.started <= r.due < backup.ended]
    lengths = {"inside the backup": backup.ended - backup.started}
    lengths["outside it"] = end - begin - lengths["inside the backup"]
    for name, part in (("inside the backup", inside), ("outside it", outside)):
        latencies = sorted(request.latency * 1000 for request in part)
        failed = sum(bool(request.error) for request in part)
        per_second = len(part) / lengths[name]
        numbers = [f"{quantile(latencies, share):.1f} ms" for share in (0.5, 0.99, 1)]
        table.add_row(name, str(len(part)), str(failed), f"{per_second:.0f}", *numbers)
    console.print(table)
    errors = sorted({request.error for request in requests if request.error})
    for error in errors[:5]:
        console.print(f"  [red]{error}[/]")
    failed = sum(bool(request.error) for request in inside)
    claims.check(
        "no client request failed during the backup (P2)", failed == 0 and bool(inside), f"{failed} of {len(inside)}"
    )
    # The last of them are answered a moment after the end.
    answered = sum(r.due + r.latency < backup.ended + ANSWER_S for r in inside if not r.error)
    served = answered / (backup.ended - backup.started)
    claims.check(
        "the paced load was served at its full rate",
        served > 0.95 * rate,
        f"{served:.0f}/s answered of {rate:.0f}/s asked",
    )


async def compare_restored(
    cluster: Cluster, before: Content, journal: list[Request | Acknowledged], backup: Backup, claims: Claims
) -> None:
    """Compare each node of the restored cluster with what was acknowledged up to the mark."""
    writes = [entry for entry in journal if isinstance(entry, Acknowledged)]
    expected = play(before, writes, backup.mark_index)
    later = sum(write.index > backup.mark_index for write in writes)
    console.print(f"  {len(writes)} acknowledged record changes, {later} of them after the mark")
    for node, address in cluster.members.items():
        restored = await read_content(address, "world")
        wrong = differences(expected, restored.records)
        claims.check(
            f"node {node}: every record is as acknowledged at the mark (P1)", not wrong, f"{len(expected)} records"
        )
        entries, wrong_entries = await index_differences(address, restored.database, expected)
        claims.check(f"node {node}: every index entry is as the records say", not wrong_entries, f"{entries} entries")
        for line in (wrong + wrong_entries)[:5]:
            console.print(f"    [red]{line}[/]")


def demonstrate(directory: Path, claims: Claims) -> None:
    repository = directory / "repository"
    journal_path = directory / "journal"
    first_port = str(free_ports(4))
    options = ("--nodes", "3", "--first-port", first_port, "--repository", str(repository))
    with Cluster(directory / "cluster", *options) as cluster:
        title("1. Import what real OrientDB exported")
        run("import", str(WORLD), "--database", "world", "--cluster", cluster.addresses)
        before = asyncio.run(read_content(next(iter(cluster.members.values())), "world"))

        title("2. Read and write at about half of what this cluster can do, and back it up meanwhile")
        with load_process(cluster, journal_path, seed=time.time_ns()) as (_, measured):
            console.print(
                f"  the cluster answers {measured['capacity']:.0f} requests/s; paced at {measured['rate']:.0f}/s"
            )
            time.sleep(SETTLE_S)
            first = asyncio.run(take_backup(cluster, console, node_id=0))
            time.sleep(SETTLE_S)
        journal = list(read_journal(journal_path))
        report_load([entry for entry in journal if isinstance(entry, Request)], first, measured["rate"], claims)

        title("3. The load has ended: a second snapshot from another replica, a third from the first one")
        other = next(node for node in cluster.members if node not in (first.node_id, first.leader_id))
        second = asyncio.run(take_backup(cluster, console, node_id=other))
        third = asyncio.run(take_backup(cluster, console, node_id=first.node_id))
        claims.check(
            f"nodes {second.node_id} and {third.node_id} give the same content id (P6)",
            second.content_id == third.content_id and second.node_id != third.node_id,
            third.content_id[:16],
        )

        title("4. Export in OrientDB's format")
        run("export", "world", str(directory / "world.json.gz"), "--cluster", cluster.addresses)

    title("5. Restore the first snapshot into a new cluster of three, and compare")
    new = directory / "restored"
    run(
        "restore", first.snapshot_id, "--repository", str(repository), "--data", str(new),
        "--nodes", "3", "--first-port", first_port,
    )  # fmt: skip
    with Cluster(new) as restored:
        asyncio.run(compare_restored(restored, before, journal, first, claims))

    title("Summary")
    console.print(f"  snapshot {first.snapshot_id} at mark (term {first.mark_term}, index {first.mark_index})")
    console.print(f"  repository {repository}")
    console.print(f"  export     {directory / 'world.json.gz'}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--directory", type=Path, default=ROOT / "demo-output", help="emptied first")
    directory = parser.parse_args().directory.resolve()
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    claims = Claims()
    started = time.monotonic()
    try:
        demonstrate(directory, claims)
    except (CommandFailed, QuiesceError, grpc.RpcError) as error:
        claims.check("the demo ran to its end", False, f"{type(error).__name__}: {error}")
    held = sum(held for _, held, _ in claims.rows)
    console.print(f"\n[bold]{held} of {len(claims.rows)} claims held[/], in {time.monotonic() - started:.0f} s")
    return 0 if claims.all_held else 1


if __name__ == "__main__":
    sys.exit(main())
