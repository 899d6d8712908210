"""`python -m tests.mutants [NAME…]`: plant each deliberate bug in a copy of the tree, and see the suite fail."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.mutant import Mutant, all_mutants
from tests.mutants.planting import DoesNotApply, Run, copy_tree, plant, run

_TAIL_LINES = 30


def main() -> int:
    """Return 0 where every mutant was killed, and the tests that kill them pass without one."""
    options = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    options.add_argument("names", nargs="*", help="only mutants whose name contains one of these")
    options.add_argument("--sample", type=int, help="only so many of them, others each time")
    options.add_argument("--jobs", type=int, default=2, help="how many at a time (default 2)")
    chosen = options.parse_args()
    mutants = [one for one in all_mutants() if not chosen.names or any(name in one.name for name in chosen.names)]
    if chosen.sample is not None:
        mutants = random.sample(mutants, min(chosen.sample, len(mutants)))
    if not mutants:
        print("no mutant of that name")
        return 2
    with tempfile.TemporaryDirectory(prefix="quiesce-mutants-") as scratch, ThreadPoolExecutor(chosen.jobs) as pool:
        print(f"{len(mutants)} mutants; first the tests that must see them, on the code as it is", flush=True)
        sound = Path(scratch) / "sound"
        copy_tree(sound)
        commands = sorted({one.kill for one in mutants})
        failed = [
            command for command, ended in zip(commands, pool.map(lambda one: run(one, sound), commands), strict=True)
            if not _sound(command, ended)
        ]  # fmt: skip
        if failed:
            return 1
        survivors = [
            one.name
            for one, killed in zip(mutants, pool.map(lambda one: _kill(one, Path(scratch)), mutants), strict=True)
            if not killed
        ]
    if survivors:
        print(f"{len(survivors)} of {len(mutants)} not killed: {', '.join(survivors)}")
        return 1
    print(f"all {len(mutants)} killed")
    return 0


def _sound(command: tuple[str, ...], ended: Run) -> bool:
    if not ended.passed:
        print(f"FAILS WITHOUT A MUTANT  {' '.join(command)}\n{_tail(ended)}", flush=True)
    return ended.passed


def _kill(mutant: Mutant, scratch: Path) -> bool:
    tree = scratch / mutant.name
    copy_tree(tree)
    began = time.monotonic()
    try:
        plant(mutant, tree)
    except DoesNotApply as error:
        print(f"DOES NOT APPLY  {mutant.name}: make the patch anew\n{error}", flush=True)
        return False
    ended = run(mutant.kill, tree)
    verdict = "killed" if ended.saw_a_bug else "SURVIVED"
    print(f"{verdict:<9} {mutant.name:<45} {time.monotonic() - began:>4.0f} s  {mutant.breaks}", flush=True)
    if not ended.saw_a_bug:
        print(f"exit code {ended.code}\n{_tail(ended)}", flush=True)
    return ended.saw_a_bug


def _tail(ended: Run) -> str:
    return "\n".join(f"    {line}" for line in ended.output.splitlines()[-_TAIL_LINES:])


if __name__ == "__main__":
    sys.exit(main())
