"""quiesce up: who is started, restarted and stopped when, and what its directory may hold."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quiesce.cli.main import run
from quiesce.cli.up.layout import (
    Layout,
    check_addresses,
    locked,
    new_layout,
    read_layout,
    write_layout,
)
from quiesce.cli.up.processes import Processes
from quiesce.cli.up.supervisor import (
    FIRST_BACKOFF_S,
    HEAD_START_S,
    HEALTHY_AFTER_S,
    LAST_BACKOFF_S,
    STOP_WITHIN_S,
    Exited,
    Kill,
    SayGone,
    SayKilled,
    SayRestart,
    Start,
    StopAsked,
    Supervisor,
    Terminate,
    Tick,
)
from quiesce.errors import AddressInUse, DirectoryInUse, DirectoryNotEmpty, FileUnusable, NodeRemoved

# --- the supervisor's core


@pytest.fixture
def running() -> Supervisor:
    supervisor = Supervisor(["a", "b"])
    assert supervisor.step(Tick(), 0.0) == [Start("a"), Start("b")]
    return supervisor


def test_a_node_that_was_removed_is_not_started_again(running: Supervisor) -> None:
    assert running.step(Exited("a", NodeRemoved.exit_code), 5.0) == [SayGone("a")]
    assert running.next_s() is None
    assert running.step(Tick(), 500.0) == []
    assert running.step(StopAsked(), 501.0) == [Terminate("b")]
    running.step(Exited("b", 0), 502.0)
    assert running.ended


def test_a_child_that_ends_is_started_again_later_each_time(running: Supervisor) -> None:
    now_s, delays = 0.0, []
    for _ in range(9):
        (said,) = running.step(Exited("a", 1), now_s)
        assert isinstance(said, SayRestart)
        delays.append(said.delay_s)
        assert running.step(Tick(), now_s) == []
        now_s = running.next_s() or 0.0
        assert running.step(Tick(), now_s) == [Start("a")]
    assert delays[:4] == [FIRST_BACKOFF_S * 2**n for n in range(4)]
    assert delays[-1] == LAST_BACKOFF_S


def test_one_that_ran_long_is_started_soon(running: Supervisor) -> None:
    for now_s in (0.0, 1.0):
        running.step(Exited("a", 1), now_s)
        running.step(Tick(), now_s + 1.0)
    assert running.step(Exited("a", -9), 2.0 + HEALTHY_AFTER_S) == [SayRestart("a", -9, FIRST_BACKOFF_S)]


def test_stop_waits_then_kills(running: Supervisor) -> None:
    assert running.step(StopAsked(), 5.0) == [Terminate("a"), Terminate("b")]
    assert running.step(Exited("a", 0), 6.0) == []
    assert running.next_s() == 5.0 + STOP_WITHIN_S
    assert running.step(Tick(), 5.0 + STOP_WITHIN_S) == [SayKilled("b"), Kill("b")]
    assert not running.ended
    assert running.step(Exited("b", -9), 15.1) == []
    assert running.ended
    assert running.next_s() is None


def test_stop_asked_twice_kills_at_once(running: Supervisor) -> None:
    running.step(StopAsked(), 5.0)
    assert running.step(StopAsked(), 5.1) == [Kill("a"), Kill("b")]


@pytest.fixture
def with_first() -> Supervisor:
    supervisor = Supervisor(["a", "first"], stop_first={"first"})
    supervisor.step(Tick(), 0.0)
    return supervisor


def test_the_others_are_stopped_when_the_first_has_ended(with_first: Supervisor) -> None:
    assert with_first.step(StopAsked(), 5.0) == [Terminate("first")]
    assert with_first.step(Exited("first", 0), 6.0) == [Terminate("a")]
    assert with_first.next_s() == 6.0 + STOP_WITHIN_S
    with_first.step(Exited("a", 0), 6.5)
    assert with_first.ended


def test_the_others_do_not_wait_for_ever_for_the_first(with_first: Supervisor) -> None:
    with_first.step(StopAsked(), 5.0)
    due_s = with_first.next_s()
    assert due_s == 5.0 + HEAD_START_S
    assert with_first.step(Tick(), due_s) == [Terminate("a")]
    assert with_first.step(Exited("a", 0), due_s) == []
    assert with_first.step(Tick(), due_s + STOP_WITHIN_S) == [SayKilled("first"), Kill("first")]


def test_a_first_that_is_not_running_is_not_waited_for(with_first: Supervisor) -> None:
    with_first.step(Exited("first", 1), 1.0)
    assert with_first.step(StopAsked(), 1.1) == [Terminate("a")]


def test_one_that_waits_for_its_restart_is_not_started_in_the_end(running: Supervisor) -> None:
    running.step(Exited("a", 1), 1.0)
    assert running.step(StopAsked(), 1.1) == [Terminate("b")]
    assert running.step(Tick(), 2.0) == []
    running.step(Exited("b", 0), 2.0)
    assert running.ended


@pytest.mark.parametrize("seed", range(50))
def test_any_order_of_events_ends(seed: int) -> None:
    chance, names = random.Random(seed), ["a", "b", "c"]
    supervisor, alive, now_s = Supervisor(names, chance.sample(names, chance.randrange(3))), set[str](), 0.0

    def step(event: Exited | StopAsked | Tick) -> None:
        for effect in supervisor.step(event, now_s):
            match effect:
                case Start(name):
                    assert name not in alive
                    assert not supervisor.stopping
                    alive.add(name)
                case Terminate(name) | Kill(name):
                    assert name in alive

    step(Tick())
    for _ in range(60):
        now_s += chance.random() * 10
        step(Tick())
        if alive and chance.random() < 0.4:
            name = chance.choice(sorted(alive))
            alive.remove(name)
            step(Exited(name, chance.choice([0, 1, -9])))
        if chance.random() < 0.03:
            step(StopAsked())
    step(StopAsked())
    while alive:
        name = chance.choice(sorted(alive))
        alive.remove(name)
        step(Exited(name, -9))
    assert supervisor.ended


# --- the directory


@pytest.fixture
def layout() -> Layout:
    return Layout("c1", {1: "127.0.0.1:7101", 2: "127.0.0.1:7102"}, "127.0.0.1:7100", "/snapshots")


def test_what_is_written_is_read(tmp_path: Path, layout: Layout) -> None:
    assert read_layout(tmp_path) is None
    assert read_layout(tmp_path / "missing") is None
    write_layout(tmp_path, layout)
    assert read_layout(tmp_path) == layout
    assert json.loads((tmp_path / "cluster.json").read_text()) == {
        "cluster_id": "c1",
        "members": {"1": "127.0.0.1:7101", "2": "127.0.0.1:7102"},
        "coordinator": "127.0.0.1:7100",
        "repository": "/snapshots",
    }


def test_a_new_layout(tmp_path: Path) -> None:
    made = new_layout(tmp_path, host="h", first_port=8000, nodes=2, repository="")
    assert made.members == {1: "h:8001", 2: "h:8002"}
    assert made.coordinator == "h:8000"
    assert made.repository == str(tmp_path / "repository")


def test_other_things_in_the_directory_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(DirectoryNotEmpty):
        read_layout(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"cluster_id":"c","members":{"x":"h:1"},"coordinator":"h:1","repository":""}',
        '{"cluster_id":"c","members":{"1":"nonsense"},"coordinator":"h:1","repository":""}',
    ],
)
def test_a_damaged_description_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster.json").write_text(text)
    with pytest.raises(FileUnusable, match=r"cluster\.json"):
        read_layout(tmp_path)


def test_a_directory_is_held_by_one(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(DirectoryInUse), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_taken_port_is_said_before_anything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse):
            check_addresses(Layout("c", {1: f"127.0.0.1:{port}"}, "127.0.0.1:1", ""))
        directory = tmp_path / "new"
        assert run(["up", "--data", str(directory), "--first-port", str(port)]) == AddressInUse.exit_code
        assert not directory.exists()
    assert f"127.0.0.1:{port} cannot be listened on" in capsys.readouterr().err


def test_options_that_contradict_what_is_there(
    tmp_path: Path, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    write_layout(tmp_path, layout)
    assert run(["up", "--data", str(tmp_path), "--nodes", "5"]) == 74
    assert "--nodes 5 is not what the cluster in this directory has, 2" in capsys.readouterr().err


# --- the processes


def child(program: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", program]


def gone(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def wait_for(condition: object, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


async def test_children_are_restarted_and_stopped(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "sleeps.log"
    sleeps = child("import time; print('here', flush=True); time.sleep(60)")
    ends = child("print('my last words')")
    processes = Processes({"sleeps": sleeps, "ends": ends}, tmp_path, said.append)
    running = asyncio.create_task(processes.run())
    assert await asyncio.to_thread(wait_for, lambda: said and log.exists() and log.read_text() == "here\n")
    os.kill(processes.pids["sleeps"], signal.SIGKILL)
    assert await asyncio.to_thread(wait_for, lambda: log.read_text() == "here\nhere\n")
    again = processes.pids["sleeps"]
    processes.stop()
    await asyncio.wait_for(running, 20)
    assert said[0].startswith("ends ended with code 0; it is started again in 0.5 s. Its last words: my last words")
    assert any("sleeps was ended by SIGKILL" in line for line in said)
    assert gone(again)


def test_children_die_with_their_parent_however_it_ends(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from quiesce.cli.up.processes import Processes\n"
        "child = [sys.executable, '-I', '-S', '-c', "
        "'import os, time; print(os.getpid(), flush=True); time.sleep(60)']\n"
        f"asyncio.run(Processes({{'c': child}}, pathlib.Path({str(tmp_path)!r}), print).run())\n"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        log = tmp_path / "c.log"
        assert wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
        parent.kill()
    pid = int(log.read_text())
    assert wait_for(lambda: gone(pid))
