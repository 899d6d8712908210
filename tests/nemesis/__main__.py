"""`python -m tests.nemesis`: five real nodes, real faults, and a judge.

Exit codes: 0 nothing wrong was found; 1 something was; 3 the run was too poor to show anything; 77 this machine makes
no network namespaces.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.nemesis.faults.deck import FAULTS
from tests.nemesis.namespaces import NO_NAMESPACES, CannotIsolate, reenter
from tests.nemesis.network import Network
from tests.nemesis.run import Outcome, run

WRONG, POOR = 1, 3
_FAULTS_SHOWN, _VIOLATIONS_SHOWN = 60, 6


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.nemesis", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--minutes", type=float, default=2.0, help="how long at least (2)")
    parser.add_argument("--seed", type=int, default=None, help="what faults and clients are drawn by (random)")
    parser.add_argument("--nodes", type=int, default=5, choices=(3, 5, 7))
    parser.add_argument("--keep", type=Path, help="keep data and logs there, also of a clean run")
    parser.add_argument("--faults", default="", help=f"only these, of: {', '.join(FAULTS)}")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = _parse(arguments)
    only = [name.strip() for name in options.faults.split(",") if name.strip()]
    if unknown := [name for name in only if name not in FAULTS]:
        sys.exit(f"no such fault: {', '.join(unknown)}")
    network = Network([f"place-{number}" for number in range(1, options.nodes + 2)])
    try:
        if not options.inside:
            reenter("tests.nemesis", ["--inside", *arguments])
        network.make()
    except CannotIsolate as error:
        sys.stderr.write(f"no network namespaces here, so no nemesis: {error}\n")
        return NO_NAMESPACES
    seed = secrets.randbits(32) if options.seed is None else options.seed
    directory = options.keep or Path(tempfile.mkdtemp(prefix="nemesis-"))
    directory.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    print(f"nemesis: {options.nodes} nodes, {options.minutes:g} minutes, seed {seed}, in {directory}", flush=True)
    outcome = asyncio.run(run(directory, network, nodes=options.nodes, minutes=options.minutes, seed=seed, only=only))
    code = _tell(outcome, directory, seed, time.monotonic() - began)
    if code == 0 and options.keep is None:
        shutil.rmtree(directory, ignore_errors=True)
    return code


def _tell(outcome: Outcome, directory: Path, seed: int, seconds: float) -> int:
    print(outcome.text)
    if outcome.violations:
        print(f"\nWRONG after {seconds:.0f} s, seed {seed}; data, logs and the history are in {directory}")
        for text in outcome.violations[:_VIOLATIONS_SHOWN]:
            print(f"\n{text}")
        if len(outcome.violations) > _VIOLATIONS_SHOWN:
            print(f"\nand {len(outcome.violations) - _VIOLATIONS_SHOWN} more, in nemesis.log")
        lines = (directory / "nemesis.log").read_text().splitlines()
        print("\nthe last faults:", *lines[-_FAULTS_SHOWN:], sep="\n  ")
        return WRONG
    if outcome.shortcomings:
        print(f"\nnothing wrong, and too little to show anything, seed {seed}; logs are in {directory}")
        for text in outcome.shortcomings:
            print(f"  {text}")
        return POOR
    print(f"\nclean: {seconds:.0f} s, seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
