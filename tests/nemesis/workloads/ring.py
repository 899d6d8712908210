"""The keys in use: each is a record that is used for a while, judged, and replaced by a new one."""

from __future__ import annotations

from random import Random

from quiesce import AsyncClient
from quiesce.errors import QuiesceError
from quiesce.records import RID, Record, create
from tests.nemesis.keyed import Key
from tests.nemesis.models import VersionedRegister
from tests.nemesis.recorder import Recorder
from tests.nemesis.sightings import Sighting, contradictions
from tests.nemesis.world import World

DATABASE = "registers"
CLASS = "Register"
_IN_USE = 5
_PAUSE_S = 0.05


class RegisterKey(Key):
    """A register, and what was seen of it at which log index."""

    def __init__(self, rid: RID, value: str, index: int, recorder: Recorder) -> None:
        super().__init__(str(rid), VersionedRegister((1, value)), recorder)
        self.rid = rid
        # The latest that anybody saw.
        self.version = 1
        self._sightings = [Sighting(index, 1, value, True, "the ring")]

    def see(self, index: int, record: Record, who: str) -> None:
        self._sightings.append(Sighting(index, record.version, value_of(record), False, who))

    def changed(self, index: int, version: int, value: str, who: str) -> None:
        self._sightings.append(Sighting(index, version, value, True, who))

    def judge(self) -> None:
        super().judge()
        for text in contradictions(self._sightings):
            self._recorder.violate(f"key {self.name}: {text}")


class Ring:
    """The keys."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.all: list[RegisterKey] = []
        self._in_use: list[RegisterKey] = []
        self._judged = 0

    def choose(self, rng: Random) -> RegisterKey | None:
        """Return a key to use, if there is one."""
        return rng.choice(self._in_use) if self._in_use else None

    def some(self, rng: Random, count: int) -> list[RegisterKey]:
        """Return keys, also retired ones."""
        return rng.sample(self.all, min(count, len(self.all)))

    async def fill(self, client: AsyncClient) -> None:
        """Make keys until there are enough in use.

        Raises:
            QuiesceError: one could not be made, as far as is known.
        """
        while len(self._in_use) < _IN_USE:
            value = f"new/{len(self.all)}"
            answer = await client.write(DATABASE, [create({"value": value}, class_name=CLASS)])
            key = RegisterKey(RID.of(answer.written[0]), value, answer.index, self._world.recorder)
            self.all.append(key)
            self._in_use.append(key)

    async def keep_filled(self) -> None:
        """Retire what is worn, judge it once nobody works with it, and make new keys."""
        retired: list[RegisterKey] = []
        async with self._world.client("ring") as client:
            async for _ in self._world.turns(self._world.random("ring"), _PAUSE_S):
                retired += [key for key in self._in_use if key.worn]
                self._in_use = [key for key in self._in_use if not key.worn]
                for key in [key for key in retired if not key.pending]:
                    retired.remove(key)
                    key.judge()
                try:
                    await self.fill(client)
                except QuiesceError:
                    continue

    def judge(self, found: dict[RID, Record]) -> None:
        """Judge every key by what is there at the end."""
        for key in self.all:
            record = found.get(key.rid)
            key.saw_last((0, "no such record") if record is None else (record.version, value_of(record)), "read")
            key.judge()


def value_of(record: Record) -> str:
    return str(record.document()["value"])
