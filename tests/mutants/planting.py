"""Copies of the working tree, with and without a bug, and the tests run in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
# What the tests need of the tree. The Rust part goes along as it was built.
_NEEDED = (
    "coordinator",
    "demo",
    "docs",
    "examples",
    "nodes",
    "proto",
    "pyproject.toml",
    "quiesce",
    "README.md",
    "scripts",
    "tests",
)
_TIMEOUT_S = 600.0
# Of pytest and of the simulation: a test failed. Anything else means that they did not even run.
_SEEN = 1


@dataclass(frozen=True, slots=True)
class Run:
    """How a command ended in a copy of the tree; `code` is None where it took too long."""

    code: int | None
    output: str

    @property
    def passed(self) -> bool:
        """Whether every test passed."""
        return self.code == 0

    @property
    def saw_a_bug(self) -> bool:
        """Whether tests ran, and one failed. A hang counts: no suite that hangs is green."""
        return self.code in (None, _SEEN)


class DoesNotApply(Exception):
    """The code has moved on: the patch must be made anew."""


def copy_tree(target: Path) -> None:
    """Copy what the tests need of the working tree to `target`, which does not exist."""
    target.mkdir(parents=True)
    skip = shutil.ignore_patterns("__pycache__", ".hypothesis", "*.patch")
    for name in _NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=skip, symlinks=True)
        elif source.exists():
            shutil.copy2(source, target / name)


def plant(mutant: Mutant, tree: Path) -> None:
    """Put the bug into a copy.

    Raises:
        DoesNotApply: a hunk has no place.
    """
    # A temporary directory is no repository, so the paths are taken from there.
    command = ["git", "apply", "--recount", str(mutant.patch)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DoesNotApply(done.stderr.strip())


def run(kill: tuple[str, ...], tree: Path) -> Run:
    """Run `python -m KILL…` in a copy, with the copy's own code."""
    # The copy comes before the installed package, which is this tree.
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}
    arguments = ["-x", "--no-header", "-p", "no:cacheprovider"] if kill[0] == "pytest" else []
    try:
        done = subprocess.run(
            [sys.executable, "-m", kill[0], *arguments, *kill[1:]],
            cwd=tree,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return Run(None, str(error.output or ""))
    return Run(done.returncode, done.stdout)
