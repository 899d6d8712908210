"""A deliberate bug: a unified diff whose first lines say what it breaks and which tests must see it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

DIRECTORY = Path(__file__).resolve().parent
_BREAKS, _KILL = "# breaks:", "# kill:"


class MalformedMutant(Exception):
    """A patch without the two lines at its head, or with a command of an unknown kind."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`kill` is what comes after `python -m` in the command that must fail with exit code 1."""

    name: str
    patch: Path
    breaks: str
    kill: tuple[str, ...]


def read_mutant(patch: Path) -> Mutant:
    """Read the head of a patch.

    Raises:
        MalformedMutant: it lacks one of its lines, or they are empty.
    """
    head: dict[str, str] = {}
    for line in patch.read_text().splitlines():
        if not line.startswith("#"):
            break
        for key in (_BREAKS, _KILL):
            if line.startswith(key):
                head[key] = line.removeprefix(key).strip()
    breaks, kill = head.get(_BREAKS, ""), shlex.split(head.get(_KILL, ""))
    if not breaks or not kill:
        raise MalformedMutant(f"{patch.name}: it must begin with `{_BREAKS} …` and `{_KILL} …`")
    if kill[0] not in ("pytest", "tests.simulation"):
        raise MalformedMutant(f"{patch.name}: `{kill[0]}` is neither `pytest` nor `tests.simulation`")
    return Mutant(patch.stem, patch, breaks, tuple(kill))


def all_mutants(directory: Path = DIRECTORY) -> list[Mutant]:
    """Return every mutant, by name."""
    return [read_mutant(patch) for patch in sorted(directory.glob("*.patch"))]
