"""Carries out the steps that the deck deals, and measures what each did to clients."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.nemesis.faults.deck import FAULTS, Step
from tests.nemesis.faults.fault import Fault
from tests.nemesis.field import Field, NotInForce

# From healing until every node answers reads and a write is acknowledged. A promise with a margin, not a measurement:
# connections are made anew within seconds, elections take one or two.
RECOVERED_WITHIN_S = 60.0
SECOND_CHANCES_S = 90.0


@dataclass(slots=True)
class Measured:
    """One step, as clients saw it; times are seconds of the run, -1 where it did not happen."""

    faults: tuple[str, ...]
    begun_s: float
    healed_s: float = -1.0
    operations: int = 0
    # After healing: the first acknowledged write, and when every node had answered a linearizable read.
    written_s: float = -1.0
    read_s: float = -1.0
    ended_s: float = -1.0


class Conductor:
    """Runs steps one after the other until told that time is over."""

    def __init__(self, field: Field, seed: int) -> None:
        self._field = field
        self._seed = seed
        self.steps: list[Measured] = []
        # How often a fault was seen to be in force, by name; and what was not.
        self.proven: dict[str, int] = {}
        self.unproven: list[str] = []

    async def run(self, steps: Iterator[Step], until_s: float, names: list[str]) -> None:
        """Go on until `until_s` is over and each fault of `names` was dealt once.

        Where one was not seen to be in force, which takes luck on a busy machine, others get a chance for a while.
        """
        dealt: set[str] = set()
        recorder = self._field.recorder
        for step in steps:
            over_s = recorder.seconds() - until_s
            shown = over_s > SECOND_CHANCES_S or set(self.proven) >= set(names)
            if recorder.violated.is_set() or (over_s > 0 and dealt >= set(names) and shown):
                return
            dealt.update(step.faults)
            await self._step(step)
            for text in self._field.nodes.surprises():
                recorder.violate(text)

    async def _step(self, step: Step) -> None:
        field, recorder = self._field, self._field.recorder
        rng = Random(f"{self._seed} step {step.number}")
        measured = Measured(step.faults, recorder.seconds())
        self.steps.append(measured)
        before = _done(field)
        begun: list[Fault] = []
        try:
            for name in step.faults:
                fault = FAULTS[name]()
                begun.append(fault)
                recorder.note(f"step {step.number}: {await fault.begin(field, rng)}")
            for name, fault in zip(step.faults, begun, strict=True):
                await fault.confirm(field, rng, alone=len(begun) == 1)
                recorder.note(f"step {step.number}: in force: {name}")
                self.proven[name] = self.proven.get(name, 0) + 1
            await self._pause(step.hold_s)
        except NotInForce as error:
            recorder.note(f"step {step.number}: NOT IN FORCE: {error}")
            self.unproven.append(f"step {step.number} ({' and '.join(step.faults)}): {error}")
        finally:
            rng.shuffle(begun)
            for fault in begun:
                await fault.heal(field)
        measured.healed_s = recorder.seconds()
        measured.operations = _done(field) - before
        recorder.note(f"step {step.number}: healed")
        for fault in begun:
            await fault.finish(field)
        if step.patient:
            await self.recover(measured)
        await self._pause(step.rest_s)
        measured.ended_s = recorder.seconds()

    async def recover(self, measured: Measured) -> None:
        """Wait until clients are served as if nothing had been; that it takes for ever is a violation."""
        field, recorder = self._field, self._field.recorder
        deadline = measured.healed_s + RECOVERED_WITHIN_S
        while measured.written_s < 0 or measured.read_s < 0:
            now = recorder.seconds()
            behind = [node for node, at in field.watch.read_at.items() if at < measured.healed_s]
            if measured.read_s < 0 and not behind:
                measured.read_s = now - measured.healed_s
            if measured.written_s < 0 and (later := _since(recorder.acknowledged, measured.healed_s)):
                measured.written_s = later[0] - measured.healed_s
            if now > deadline:
                written = "writes go through" if measured.written_s >= 0 else "no write was acknowledged"
                recorder.violate(
                    f"{RECOVERED_WITHIN_S:g} s after healing {' and '.join(measured.faults)}, nodes {behind} answer "
                    f"no linearizable read, and {written}"
                )
            if recorder.violated.is_set():
                return
            await asyncio.sleep(0.02)
        recorder.note(f"recovered: writes after {measured.written_s:.2f} s, all nodes after {measured.read_s:.2f} s")

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            try:
                await asyncio.wait_for(self._field.recorder.violated.wait(), seconds)
            except TimeoutError:
                return


def _done(field: Field) -> int:
    return sum(count for (_, outcome), count in field.recorder.counts.items() if outcome in {"ok", "refused"})


def _since(times: list[float], start: float) -> list[float]:
    return times[bisect.bisect_left(times, start) :]
