"""quiesce health, as a process of its own, against a real server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from quiesce.errors import InvalidRequest, NotServing, Unavailable
from quiesce.rpc import open_server


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A server that serves as a process, and one of whose services does not."""
    server = open_server("127.0.0.1:0")
    await server.set_serving("", True)
    await server.set_serving("quiesce.v1.Records", False)
    yield f"127.0.0.1:{await server.start([])}"
    await server.stop(0)


async def health(*arguments: str) -> tuple[int | None, str]:
    """Run it, and return the exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "quiesce", "health", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, output.decode()


async def test_the_exit_code_says_whether_it_serves(address: str) -> None:
    code, text = await health(address, "--timeout", "30s")
    assert (code, text) == (0, f"{address} serves.\n")
    code, text = await health(address, "--timeout", "30s", "--service", "quiesce.v1.Records")
    assert code == NotServing.exit_code
    assert "quiesce.v1.Records: not serving" in text
    # One that it never heard of.
    code, text = await health(address, "--timeout", "30s", "--service", "quiesce.v1.Nothing")
    assert code == NotServing.exit_code
    assert "quiesce.v1.Nothing: service unknown" in text


async def test_nobody_there_and_no_address(unused_tcp_port: int) -> None:
    assert (await health(f"127.0.0.1:{unused_tcp_port}", "--timeout", "1s"))[0] == Unavailable.exit_code
    assert (await health("here"))[0] == InvalidRequest.exit_code
    assert (await health("a:1,b:2"))[0] == InvalidRequest.exit_code
