"""`python -m tests.simulation`: run seeds; where one breaks a promise, say which, and how to see it again."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.plan import plan
from tests.simulation.world import STEPS, Result, simulate

_SAID_EVERY_S = 20.0


def main() -> int:
    """Return 0 where every seed kept every promise, 1 where one did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--first", type=int, help="the first seed; otherwise fresh ones")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each run, before it is mended (default {STEPS})")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--failures", type=int, default=5, help="stop after so many seeds that failed (default 5)")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    chosen = parser.parse_args()
    first = secrets.randbits(40) if chosen.first is None else chosen.first
    seeds = range(first, first + chosen.seeds)
    print(f"simulation: seeds {seeds[0]} to {seeds[-1]}, {chosen.steps} steps each", flush=True)
    if chosen.trace:
        results: Iterable[Result] = (simulate(seed, chosen.steps, print) for seed in seeds)
    else:
        results = _spread(seeds, chosen.steps, chosen.jobs)
    return _report(results, chosen.steps, chosen.failures)


def _spread(seeds: range, steps: int, jobs: int) -> Iterator[Result]:
    if jobs == 1:
        yield from (simulate(seed, steps) for seed in seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(simulate, seeds, [steps] * len(seeds), chunksize=4)
        finally:
            pool.shutdown(cancel_futures=True)


def _report(results: Iterable[Result], steps: int, most_failures: int) -> int:
    began = said = time.monotonic()
    counts: Counter[str] = Counter()
    done = failed = 0
    for result in results:
        done += 1
        counts += result.counts
        if result.broken is not None:
            failed += 1
            print(f"\nseed {result.seed} broke a promise at step {result.step}, the {done}. seed:\n  {result.broken}")
            print(f"  faults: {plan(result.seed).faults}")
            command = f"python -m tests.simulation --first {result.seed} --seeds 1 --steps {steps} --trace"
            print(f"  again:  {command}\n", flush=True)
            if failed >= most_failures:
                break
        if time.monotonic() - said > _SAID_EVERY_S:
            said = time.monotonic()
            print(f"  {done} seeds, {done / (said - began) * 60:.0f} a minute, {failed} failed", flush=True)
    taken = time.monotonic() - began
    print(f"{done} seeds in {taken:.1f} s, {failed} failed; {', '.join(f'{n} {name}' for name, n in counts.items())}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
