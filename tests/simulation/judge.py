"""A second opinion that knows nothing of the log: is what the clients saw of each register linearizable?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from quiesce.v1.peer_pb2 import Outcome
from quiesce.v1.record_pb2 import Operation as WriteOperation
from tests.nemesis.history import Operation
from tests.nemesis.linearizability import Verdict, check
from tests.nemesis.models import VersionedRegister
from tests.simulation.history import Rid
from tests.simulation.violation import require

# What is undecided then is passed over: the order of the log has been checked already.
_MOST_STEPS = 20_000


class Judge:
    """Keeps the history of every register, and judges it at the end."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._histories: dict[Rid, list[Operation]] = {}
        self._first: dict[Rid, tuple[int, bytes]] = {}
        self.undecided = 0

    def found(self, registers: Mapping[Rid, tuple[int, bytes]]) -> None:
        """Take the registers, each with the version and body that it begins with."""
        self._first.update(registers)
        self._histories.update((rid, []) for rid in registers)

    def wrote(self, client: str, operation: WriteOperation) -> Callable[[Outcome | None], None]:
        """Note that a client begins a write; what is returned takes how it ended."""
        update = operation.update
        rid = update.cluster, update.position
        if rid not in self._histories:
            return lambda _: None
        compares = update.HasField("expected_version")
        argument = (update.expected_version, update.body) if compares else update.body
        noted = Operation(client, str(rid), "cas" if compares else "write", self._now(), argument)
        self._histories[rid].append(noted)

        def ended(outcome: Outcome | None) -> None:
            if outcome is None:
                return
            noted.returned = self._now()
            if outcome.HasField("write"):
                version = outcome.write.written[0].version
                noted.result = (True, version) if compares else version
            elif outcome.failure.reason == "STALE_VERSION":
                noted.result = False, int(outcome.failure.fields["actual"])
            else:
                self._histories[rid].remove(noted)

        return ended

    def reads(self, client: str) -> Callable[[Mapping[Rid, tuple[int, bytes] | None]], None]:
        """Note that a client begins to read; what is returned takes what it found."""
        began = self._now()

        def ended(found: Mapping[Rid, tuple[int, bytes] | None]) -> None:
            for rid, state in found.items():
                if rid in self._histories:
                    noted = Operation(client, str(rid), "read", began, result=state, returned=self._now())
                    self._histories[rid].append(noted)

        return ended

    def judge(self) -> None:
        """Look at all that was noted.

        Raises:
            Violation: it is not linearizable.
        """
        for rid, history in self._histories.items():
            finding = check(history, VersionedRegister(self._first[rid]), most_steps=_MOST_STEPS)
            require(
                finding.verdict is not Verdict.NOT_LINEARIZABLE, f"register {rid} is not linearizable: {finding.at}"
            )
            self.undecided += finding.verdict is Verdict.UNDECIDED
