"""`python -m benchmarks NAME`: one measurement, or all of them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import (
    beside_orientdb,
    budget,
    large_import,
    load_cases,
    memory,
    orientdb_cases,
    restart,
    snapshot_cases,
)
from benchmarks.etcd.cluster import EtcdMissing, require_etcd
from benchmarks.measure import Noise, Run, machine_noise
from benchmarks.profile import ProfilerMissing, require_profiler
from benchmarks.report import rows_table, summary, table, write_json


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement; `run` takes a system's name, an empty directory and where to put a profile."""

    title: str
    unit: str
    run: Callable[[str, Path, Path | None], Awaitable[Run]]
    beside_etcd: bool = True


CASES = {
    "batch-writes": Case(
        "Batch writes: 100 records of 300 bytes a transaction, 16 in flight", "records/s", load_cases.batch_writes
    ),
    "single-writes": Case("Single writes: 300 bytes, 128 in flight", "writes/s", load_cases.single_writes),
    "reads": Case("Linearizable single reads: 128 in flight", "reads/s", load_cases.reads),
    "snapshot": Case("Full snapshot of 100,000 records (30 MB)", "MB/s", snapshot_cases.snapshot),
    "restore": Case("Restore of 100,000 records into three new members", "MB/s", snapshot_cases.restore),
    "import": Case("Import of 79,508 records from OrientDB's export", "records/s", orientdb_cases.import_, False),
    "export": Case("Export of 79,508 records", "records/s", orientdb_cases.export, False),
}
# What is not a comparison of rates.
OTHERS: dict[str, Callable[[Path], None]] = {
    "incremental": lambda directory: _rows(
        directory, "incremental", "Snapshots after a change, at two sizes", snapshot_cases.incremental
    ),
    "budget": lambda directory: _rows(directory, "budget", "What a backup costs clients", budget.measure),
    "large-import": lambda directory: large_import.run(directory),  # noqa: PLW0108 - as above
    "beside-orientdb": lambda directory: beside_orientdb.run(directory),  # noqa: PLW0108 - as above
    "memory": lambda directory: memory.run(directory, memory.SECONDS, list(memory.CASES)),
    "restart": lambda directory: restart.run(
        directory, entries=restart.ENTRIES, restarts=restart.RESTARTS, cases=restart.CASES
    ),
}
NAMES = [*CASES, *OTHERS, "all"]


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option("--runs", type=click.IntRange(1, 50), default=3, show_default=True, help="Runs of each system, in turn.")
@click.option("--only", type=click.Choice(["quiesce", "etcd"]), help="Measure this one alone.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/benchmarks"),
    show_default=True,
    help="Where data and results go: on the disk to be measured.",
)
@click.option("--profile", is_flag=True, help="Sample the leader with py-spy in the last run; slows it down.")
def main(name: str, runs: int, only: str | None, directory: Path, profile: bool) -> None:
    """Measure NAME, side by side with etcd where it has the operation, and print a table."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        if only != "quiesce" and name not in ("import", "export", *OTHERS):
            click.echo(f"beside etcd {require_etcd()}, three members on this machine")
        if profile:
            require_profiler()
    except (EtcdMissing, ProfilerMissing) as error:
        raise click.ClickException(f"{error} (--only quiesce measures without etcd)") from error
    for each in [*CASES, *OTHERS] if name == "all" else [name]:
        if each in OTHERS:
            OTHERS[each](directory)
        else:
            _case(each, runs, only, directory, profile)


def _case(name: str, runs: int, only: str | None, directory: Path, profile: bool) -> None:
    case = CASES[name]
    systems = [only] if only else ["quiesce", "etcd"] if case.beside_etcd else ["quiesce"]
    found: dict[str, list[Run]] = {system: [] for system in systems}
    noise: list[Noise] = []
    for number in range(runs):
        # In turn, so that a busy neighbour meets both.
        for system in systems:
            noise.append(machine_noise(directory))
            target = directory / f"{name}.{system}.profile" if profile and number == runs - 1 else None
            with fresh_directory(directory) as fresh:
                run = asyncio.run(_run(case, system, fresh, target))
            click.echo(f"  {name} {system} run {number + 1}: {run.seconds:.2f} s", err=True)
            found[system].append(run)
    click.echo("\n" + table(case.title, case.unit, found, noise) + "\n")
    write_json(directory / f"{name}.json", {"name": name, "unit": case.unit, **summary(found, noise)})


async def _run(case: Case, system: str, directory: Path, profile: Path | None) -> Run:
    return await case.run(system, directory, profile)


@contextmanager
def fresh_directory(parent: Path) -> Iterator[Path]:
    """Yield an empty directory, which goes afterwards."""
    fresh = Path(tempfile.mkdtemp(prefix="run-", dir=parent)).absolute()
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _rows(
    directory: Path, name: str, title: str, measure: Callable[[Path], Awaitable[list[dict[str, object]]]]
) -> None:
    noise = machine_noise(directory)
    with fresh_directory(directory) as fresh:
        rows = asyncio.run(measured(measure, fresh))
    click.echo("\n" + rows_table(title, rows))
    click.echo(f"\nMachine: loop {noise.spin_ms:.3g} ms, fsync {noise.fsync_ms:.3g} ms.\n")
    write_json(directory / f"{name}.json", {"name": name, "rows": rows})


async def measured(
    measure: Callable[[Path], Awaitable[list[dict[str, object]]]], directory: Path
) -> list[dict[str, object]]:
    """Return what a measurement finds."""
    return await measure(directory)


if __name__ == "__main__":
    main()
