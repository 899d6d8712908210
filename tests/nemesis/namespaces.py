"""Network namespaces: one for every node, one for the clients, and a router between them that can lose and slow down.

Everything is made inside a user namespace of this process, so no privilege is needed where the kernel allows those, and
nothing is left behind: the namespaces end with the last process in them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

# What automake and others take for "skipped".
NO_NAMESPACES = 77
# With a user namespace, as anybody may; without one, as root where those are forbidden.
_WAYS = (["unshare", "--user", "--map-root-user", "--net", "--mount"], ["unshare", "--net", "--mount"])


class CannotIsolate(Exception):
    """This machine does not let us make network namespaces."""


def run(*command: str) -> str:
    """Run a command of the system and return its output.

    Raises:
        CannotIsolate: it is missing, or refused.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
        )
    except OSError as error:
        raise CannotIsolate(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise CannotIsolate(f"`{' '.join(command)}`: {done.stderr.strip() or done.returncode}")
    return done.stdout


def reenter(module: str, arguments: Sequence[str]) -> None:
    """Become `python -m module arguments` inside namespaces of its own; never returns.

    Raises:
        CannotIsolate: the kernel refuses, or a tool is missing.
    """
    refusals: list[str] = []
    for way in _WAYS:
        try:
            # All that will be needed, tried where it costs nothing.
            tools = (
                "ip link add va type veth peer name vb && tc qdisc add dev va root tbf rate 1mbit burst 16kb latency 1s"
            )
            run(*way, "sh", "-c", f"mount -t tmpfs tmpfs /run && {tools} && nsenter --version")
        except CannotIsolate as error:
            refusals.append(str(error))
            continue
        command = [*way, sys.executable, "-m", module, *arguments]
        os.execvp(command[0], command)  # noqa: S606
    raise CannotIsolate("; ".join(refusals))
