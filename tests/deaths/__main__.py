"""`python -m tests.deaths`: kill at every named point of a backup, each with the coordinator and with the replica; or,
with `--storm 1000`, so often at random moments, while backups are made one after another.

Exit codes: 0 all that must hold did; 1 something did not.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.deaths.case import COORDINATOR, DRILL, ITSELF, MOVING, REPLICA, RETENTION, TWICE, Case, Dealer, Result
from tests.deaths.field import Field, Wrong
from tests.deaths.points import (
    DRILL_POINTS,
    NODE_POINTS,
    RETENTION_POINTS,
    coordinator_points,
    move_points,
    second_death_points,
)
from tests.deaths.storm import Storm

PREFERRED = 2


def all_cases() -> list[Case]:
    """Return every death that there is."""
    return [
        *(Case(point, COORDINATOR) for point in coordinator_points()),
        *(Case(point, TWICE) for point in second_death_points()),
        *(Case(point, MOVING) for point in move_points()),
        *(Case(point, REPLICA) for point in coordinator_points()),
        *(Case(point, ITSELF) for point in NODE_POINTS),
        *(Case(point, RETENTION) for point in RETENTION_POINTS),
        *(Case(point, DRILL) for point in DRILL_POINTS),
    ]


def _run(cases: list[Case]) -> Iterator[Result | str]:
    with tempfile.TemporaryDirectory(prefix="deaths-") as directory:
        scratch = Path(directory)
        with Field(scratch, prefer=PREFERRED) as field:
            dealer = Dealer(field, PREFERRED, scratch)
            for case in cases:
                try:
                    yield dealer.deal(case)
                except (Wrong, TimeoutError, AssertionError) as error:
                    yield f"{case.victim} at {case.point}: {error}\n{field.last_words()}"
                    return


def _storm(deaths: int, seed: int) -> int:
    print(f"storm: {deaths} deaths, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="storm-") as directory, Field(Path(directory), coordinators=2) as field:
        storm = Storm(field, random.Random(seed))
        try:
            for rest in storm.rage(deaths):
                jobs = ", ".join(f"{count} {state}" for state, count in sorted(rest.jobs.items()))
                print(f"{rest.deaths} deaths: {jobs}, {rest.snapshots} snapshots; {rest.rest_s:.0f} s", flush=True)
        except (Wrong, TimeoutError, AssertionError) as error:
            print(f"WRONG: {error}\n{field.last_words()}", flush=True)
            return 1
        dealt = ", ".join(f"{count} of a {name}" for name, count in sorted(storm.dealt.items()))
        writes = sum(len(writer.created) for writer in field.writers)
    print(f"all that must hold held: {dealt}; {writes} writes were acknowledged, none failed")
    return 0


def main(arguments: list[str]) -> int:
    """Run the cases that the arguments choose."""
    parser = argparse.ArgumentParser(prog="python -m tests.deaths", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("names", nargs="*", help="only points whose name contains one of these")
    parser.add_argument("--sample", type=int, help="only so many, others each time")
    parser.add_argument("--storm", type=int, metavar="DEATHS", help="so many at random moments instead")
    parser.add_argument("--seed", type=int, default=None, help="of the storm (random)")
    options = parser.parse_args(arguments)
    if options.storm:
        return _storm(options.storm, options.seed if options.seed is not None else secrets.randbits(32))
    cases = [case for case in all_cases() if not options.names or any(name in case.point for name in options.names)]
    if options.sample:
        cases = random.sample(cases, min(options.sample, len(cases)))
    print(f"deaths: {len(cases)} of {len(all_cases())}", flush=True)
    began = time.monotonic()
    print(f"{'who dies':<18}{'at':<40}{'the job':<12}{'attempts':>8}  replica back")
    for result in _run(cases):
        if isinstance(result, str):
            print(f"WRONG: {result}", flush=True)
            return 1
        case = result.case
        line = f"{case.victim:<18}{case.point:<40}{result.state:<12}{result.attempts:>8}  {result.back_s:.1f} s"
        print(line, flush=True)
    print(f"all that must hold held: {len(cases)} deaths in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
