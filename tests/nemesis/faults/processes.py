"""Faults of processes."""

from __future__ import annotations

from random import Random

from quiesce.errors import QuiesceError
from tests.nemesis.faults.fault import Fault
from tests.nemesis.field import Field, NotInForce
from tests.nemesis.raw import Raw


async def choose(field: Field, rng: Random, who: str) -> list[int]:
    """Return the nodes that `who` means: "leader", "one", "minority", "all"."""
    ids = field.nodes.ids
    match who:
        case "leader":
            return [await field.leader()]
        case "all":
            return list(ids)
        case _:
            return sorted(rng.sample(ids, 1 if who == "one" else (len(ids) - 1) // 2))


class Kill(Fault):
    """Kill -9, and start again."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._nodes: list[int] = []
        self._began = 0.0

    async def begin(self, field: Field, rng: Random) -> str:
        self._nodes = await choose(field, rng, self._who)
        await field.nodes.kill(self._nodes)
        self._began = field.recorder.seconds()
        return f"kill -9 {self._nodes}"

    async def confirm(self, field: Field, rng: Random, *, alone: bool) -> None:
        if running := [node for node in self._nodes if field.nodes.daemons[node].running]:
            raise NotInForce(f"{running} still run")
        if alone and self._who == "leader":
            await field.until_deposed(self._nodes[0], self._began, asked=False)

    async def heal(self, field: Field) -> None:
        await field.nodes.start(self._nodes)


class Restart(Kill):
    """Ask them to end, as for an upgrade, and start again."""

    async def begin(self, field: Field, rng: Random) -> str:
        self._nodes = await choose(field, rng, self._who)
        await field.nodes.end(self._nodes)
        self._began = field.recorder.seconds()
        return f"restart {self._nodes}"


class Pause(Fault):
    """SIGSTOP, and SIGCONT after long: a leader that wakes up does not know that it was deposed."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._nodes: list[int] = []

    async def begin(self, field: Field, rng: Random) -> str:
        self._nodes = [node for node in await choose(field, rng, self._who) if field.nodes.daemons[node].running]
        field.nodes.stop(self._nodes)
        return f"SIGSTOP {self._nodes}"

    async def confirm(self, field: Field, rng: Random, *, alone: bool) -> None:
        if alone:
            # Each of its threads stops by itself.
            await field.until(lambda: all(map(field.nodes.is_stopped, self._nodes)), 10, f"{self._nodes} stand still")
        if alone and self._who == "leader":
            await field.until_deposed(self._nodes[0], 0, asked=False)

    async def heal(self, field: Field) -> None:
        field.nodes.resume(self._nodes)


class Transfer(Fault):
    """Leadership is handed to another node, three times in a row."""

    def __init__(self) -> None:
        self._moved = False

    async def begin(self, field: Field, rng: Random) -> str:
        raw = Raw(field.nodes, rng)
        moves: list[str] = []
        try:
            for _ in range(3):
                leader = await field.leader()
                to = rng.choice([node for node in field.nodes.ids if node != leader])
                try:
                    now = await raw.transfer(leader, to)
                except QuiesceError as error:
                    moves.append(f"{leader} to {to}: {type(error).__name__}")
                else:
                    self._moved |= now == to
                    moves.append(f"{leader} to {to}: {now} leads")
        finally:
            await raw.close()
        return f"transfer leadership, {', '.join(moves)}"

    async def confirm(self, field: Field, rng: Random, *, alone: bool) -> None:
        if alone and not self._moved:
            raise NotInForce("leadership never moved")
