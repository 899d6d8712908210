"""The `quiesce` command as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Answer:
    code: int
    output: str
    error: str


def quiesce(*arguments: str, timeout_s: float = 60) -> Answer:
    """Run the command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "quiesce", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("QUIESCE")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)
