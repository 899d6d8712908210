"""Clients as the client library has them: sessions, tries at other nodes after lost answers, patience that ends."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nodes.store import StoreView
from quiesce.client.session import Session
from quiesce.errors import NoLeader, NotLeader, QuiesceError, Unavailable
from quiesce.v1.peer_pb2 import Command, Outcome
from quiesce.v1.record_pb2 import OpenSessionRequest
from tests.simulation.effects import ask

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

_TRIES = 4


@dataclass(slots=True)
class Request:
    """One operation of a client, until it is settled. `ended` gets the outcome, or None where nobody knows."""

    command: Command
    ended: Callable[[Outcome | None], None]
    deadline: int
    # Whether a second try after a lost answer is safe.
    again: bool
    session: Session | None = None
    attempt: int = 0
    unsure: bool = False
    done: bool = False


@dataclass(slots=True)
class Question:
    """One read, until it is settled."""

    look: Callable[[StoreView], None]
    failed: Callable[[], None]
    stale: bool
    deadline: int
    attempt: int = 0
    done: bool = False


@dataclass(slots=True)
class Client:
    """Sends requests and reads; what it works on is decided elsewhere (workload)."""

    name: str
    world: World
    rng: random.Random
    patience_us: int
    session: Session | None = None
    opening: bool = False
    leader: int = 0
    waiting: list[Callable[[], None]] = field(default_factory=list)

    # --- writes

    def request(self, command: Command, ended: Callable[[Outcome | None], None], *, again: bool) -> None:
        """Send a command that belongs to no session."""
        self._try(Request(command, ended, self._deadline(), again))

    def write(self, command: Command, ended: Callable[[Outcome | None], None], *, deadline: int | None = None) -> None:
        """Send a write in this client's session, which is opened first where there is none."""
        deadline = deadline or self._deadline()
        if self.session is None or self.session.room <= 0:
            self.waiting.append(lambda: self.write(command, ended, deadline=deadline))
            self._open()
            return
        session = self.session
        request = command.write
        request.session_id = session.session_id
        request.sequence = session.begin()
        request.acknowledged_through = session.acknowledged_through
        self._try(Request(command, ended, deadline, True, session))

    def _open(self) -> None:
        if self.opening:
            return
        self.opening = True

        def opened(outcome: Outcome | None) -> None:
            self.opening = False
            if outcome is not None and outcome.HasField("open_session"):
                self.session = Session(outcome.open_session.session_id)
                waiting, self.waiting = self.waiting, []
                for go_on in waiting:
                    go_on()
            else:
                self._open()

        self.request(Command(open_session=OpenSessionRequest(client=self.name)), opened, again=True)

    def _target(self) -> Node:
        ids = self.world.ids
        return self.world.nodes[self.leader if self.leader in ids else self.rng.choice(ids)]

    def _deadline(self) -> int:
        return self.world.scheduler.now + self.patience_us

    def _try(self, request: Request) -> None:
        scheduler = self.world.scheduler
        if request.done:
            return
        if scheduler.now >= request.deadline:
            self._end(request, None)
            return
        request.attempt += 1
        attempt = request.attempt
        node = self._target()
        command = Command()
        command.CopyFrom(request.command)

        def answer(outcome: Outcome | QuiesceError) -> None:
            self.world.network.call(lambda: self._answered(request, attempt, outcome))

        self.world.network.call(lambda: ask(node, lambda one: one.propose(command, answer), answer))
        scheduler.after(self.patience_us // _TRIES, lambda: self._late(request, attempt))

    def _late(self, request: Request, attempt: int) -> None:
        if not request.done and request.attempt == attempt:
            self.leader = 0
            self._unsure(request)

    def _unsure(self, request: Request) -> None:
        request.unsure = True
        if request.again:
            self._try(request)
        else:
            self._end(request, None)

    def _answered(self, request: Request, attempt: int, answer: Outcome | QuiesceError) -> None:
        if request.done:
            return
        if isinstance(answer, Outcome):
            expired = answer.HasField("failure") and answer.failure.reason in ("SESSION_EXPIRED", "OUTCOME_UNKNOWN")
            if expired and request.session is not None:
                self._expired(request)
            else:
                self._end(request, answer)
        elif attempt != request.attempt:
            # Of a try that was given up already, and may have been all the same.
            return
        elif isinstance(answer, NotLeader | NoLeader | Unavailable):
            named = answer.fields.get("leader_address", "0") if isinstance(answer, NotLeader) else "0"
            self.leader = int(named)
            pause = self.rng.randint(1, self.world.plan.tick_us * 2)
            request.attempt += 1
            self.world.scheduler.after(pause, lambda: self._try(request))
        else:
            self.leader = 0
            self._unsure(request)

    def _expired(self, request: Request) -> None:
        if self.session is request.session:
            self.session = None
        if request.unsure:
            self._end(request, None)
            return
        request.done = True
        self.write(request.command, request.ended, deadline=request.deadline)

    def _end(self, request: Request, outcome: Outcome | None) -> None:
        request.done = True
        if request.session is not None:
            request.session.settle(request.command.write.sequence)
        request.ended(outcome)

    # --- reads

    def read(self, look: Callable[[StoreView], None], failed: Callable[[], None], *, stale: bool) -> None:
        """Read at any node; `look` is called with the view, once, or `failed`."""
        self._ask(Question(look, failed, stale, self._deadline()))

    def _ask(self, question: Question) -> None:
        scheduler = self.world.scheduler
        if question.done:
            return
        if scheduler.now >= question.deadline:
            question.done = True
            question.failed()
            return
        question.attempt += 1
        attempt = question.attempt
        node = self.world.nodes[self.rng.choice(self.world.ids)]

        def answer(view: StoreView | QuiesceError) -> None:
            if question.done:
                return
            if isinstance(view, StoreView):
                question.done = True
                question.look(view)
            else:
                scheduler.after(self.world.plan.tick_us, lambda: self._ask(question))

        self.world.network.call(lambda: ask(node, lambda one: one.read(answer, stale=question.stale), answer))
        scheduler.after(
            self.patience_us // _TRIES,
            lambda: self._ask(question) if not question.done and question.attempt == attempt else None,
        )
