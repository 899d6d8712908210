"""The commands that a user would type, run as processes; none of them outlives the demo."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

QUIESCE = (sys.executable, "-m", "quiesce")


class CommandFailed(Exception):
    """A command of the demo did not do what it should."""


def run(*arguments: str) -> None:
    """Run `quiesce ARGUMENTS` to its end, its output on ours."""
    print(f"\n$ quiesce {' '.join(arguments)}", flush=True)
    code = subprocess.run([*QUIESCE, *arguments], check=False).returncode
    if code != 0:
        raise CommandFailed(f"quiesce {arguments[0]} ended with code {code}")


def free_ports(count: int) -> int:
    """Return the first of `count` ports in a row that nobody listens on."""
    for first in range(7100, 17100, 20):
        with contextlib.ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise CommandFailed("no free ports between 7100 and 17100")


class Cluster:
    """A cluster and a coordinator under `quiesce up`; a context manager that stops all of it."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Cluster:
        arguments = ("up", "--data", str(self.data), *self._options)
        print(f"\n$ quiesce {' '.join(arguments)} &", flush=True)
        self._process = subprocess.Popen([*QUIESCE, *arguments], start_new_session=True)
        self._wait()
        return self

    @property
    def description(self) -> dict[str, object]:
        """What `quiesce up` wrote about its cluster."""
        return dict(json.loads((self.data / "cluster.json").read_text()))

    @property
    def members(self) -> dict[int, str]:
        members = self.description["members"]
        assert isinstance(members, dict)
        return {int(node): str(address) for node, address in members.items()}

    @property
    def addresses(self) -> str:
        return ",".join(self.members.values())

    @property
    def coordinator(self) -> str:
        return str(self.description["coordinator"])

    def _wait(self) -> None:
        from quiesce import Client
        from quiesce.errors import QuiesceError
        from quiesce.v1.node_pb2 import SERVING_STATE_SERVING

        assert self._process is not None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise CommandFailed(f"quiesce up ended with code {self._process.returncode}")
            with contextlib.suppress(QuiesceError, FileNotFoundError, ValueError):
                with Client(self.addresses.split(","), timeout_s=5) as client:
                    states = [client.admin.status(address).serving for address in self.members.values()]
                if set(states) == {SERVING_STATE_SERVING}:
                    return
            time.sleep(0.2)
        raise CommandFailed("not every node served within 60 s")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextlib.contextmanager
def load_process(
    cluster: Cluster, journal: Path, seed: int
) -> Iterator[tuple[subprocess.Popen[str], dict[str, float]]]:
    """Run demo.load; yields when it has measured what the cluster can do and runs at its pace."""
    command = [
        sys.executable, "-m", "demo.load", "--cluster", cluster.addresses, "--database", "world",
        "--journal", str(journal), "--seed", str(seed),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise CommandFailed(f"the load ended with code {process.wait()}")
        yield process, json.loads(line)
        process.send_signal(signal.SIGTERM)
        if process.wait(60) != 0:
            raise CommandFailed(f"the load ended with code {process.returncode}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
