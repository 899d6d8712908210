"""The commands of the guides run as they stand, against a real cluster, and print what they are said to print."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quiesce.errors import NodeRemoved
from tests.scenarios.cluster import free_port_range
from tests.scenarios.console import Step, steps, with_ports

SERVES_WITHIN_S = 60
_LOOKS = re.compile(r"quiesce (nodes|databases)( --cluster \S+)?")
_STAY = ("quiesce up", "quiesce node ", "quiesce coordinator ")


class Reader:
    """Types the steps of a guide in an empty directory; what runs until it is stopped gets a terminal of its own."""

    def __init__(self, directory: Path, root: Path) -> None:
        first = free_port_range(8)
        self._ports = {"71": first, "72": first + 4}
        self._directory = directory
        self._background: list[subprocess.Popen[bytes]] = []
        (directory / "examples").symlink_to(root / "examples")
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "QUIESCE_CLUSTER": ",".join(f"127.0.0.1:{first + node}" for node in (1, 2, 3)),
            "QUIESCE_COORDINATOR": f"127.0.0.1:{first}",
        }

    def here(self, step: Step) -> Step:
        """Return the step with the ports of this cluster."""
        expected = tuple(with_ports(line, self._ports) for line in step.expected)
        return replace(step, text=with_ports(step.text, self._ports), expected=expected)

    def do(self, step: Step) -> str:
        """Do what a step says, and return its output."""
        text = step.text
        if step.language == "happening":
            return self._happens(*text.split(": "))
        if step.language == "console" and text.startswith(_STAY) and ";" not in text:
            return self._stays(text, step)
        done, deadline = self._runs(text, step), time.monotonic() + SERVES_WITHIN_S
        # Whoever looks too early looks again.
        while _LOOKS.fullmatch(text) and time.monotonic() < deadline and (done.returncode or step.missing(done.stdout)):
            time.sleep(1)
            done = self._runs(text, step)
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        return done.stdout

    def _runs(self, text: str, step: Step) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", text] if step.language == "python" else ["bash", "-c", text]
        return subprocess.run(
            command, cwd=self._directory, env=self._environment, timeout=300,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def _happens(self, what: str, to: str) -> str:
        """Do to processes, named by their data directory or command, what a disaster or an operator does to them."""
        for name in to.split():
            process = next(
                process
                for process in reversed(self._background)
                if isinstance(process.args, list) and name in process.args and process.poll() is None
            )
            if what == "stopped":
                process.send_signal(signal.SIGTERM)
                process.wait(60)
                continue
            process.kill()
            process.wait()
            if what == "lost":
                shutil.rmtree(self._directory / name)
        return ""

    def _stays(self, text: str, step: Step) -> str:
        log = self._directory / f"terminal-{len(self._background)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                text.split(), cwd=self._directory, env=self._environment,
                stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._background.append(process)
        deadline = time.monotonic() + SERVES_WITHIN_S
        while step.missing(log.read_text()):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        return log.read_text()

    def interrupt(self) -> list[int]:
        """Press Ctrl-C in every terminal, and return the exit codes."""
        for process in self._background:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        return [process.wait(60) for process in self._background]

    def kill(self) -> None:
        for process in self._background:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def reader(tmp_path: Path, project_root: Path) -> Iterator[Reader]:
    found = Reader(tmp_path, project_root)
    yield found
    found.kill()


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("chapter", "codes"),
    [
        ("quickstart", {0, 130}),
        ("membership", {0, NodeRemoved.exit_code}),
        ("disaster", {0, 130, -signal.SIGKILL}),
        ("disks", {-signal.SIGKILL}),
        ("schedules", {0, 130}),
        ("drills", {0, 130}),
        ("nightly", {0, 130}),
        ("monitoring", {0, 130}),
        ("retention", {0, 130}),
        ("orientdb-files", set()),
        ("console", {0, 130}),
    ],
)
def test_a_guide_does_what_it_says(reader: Reader, project_root: Path, chapter: str, codes: set[int]) -> None:
    guide = (project_root / "docs" / "guide" / f"{chapter}.md").read_text()
    done = 0
    for step in map(reader.here, steps(guide)):
        output = reader.do(step)
        assert not step.missing(output), f"{step.text}\nmust print {step.missing(output)}, but printed\n{output}"
        done += 1
    assert done > 4
    assert set(reader.interrupt()) <= codes
