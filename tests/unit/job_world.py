"""A cluster, a repository, and coordinators that die or stand still: everything that can go wrong around one job."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import replace

from coordinator.job import (
    Backup,
    Failure,
    Moment,
    Policy,
    Replica,
    Request,
    Step,
    Survey,
    Verdict,
    begin,
    owns,
    resume,
    step,
    wake_at,
)
from coordinator.job import effects as e
from coordinator.job import happenings as h
from coordinator.job.choosing import Held
from coordinator.job.model import Mark
from coordinator.job.turn import HOLDING
from quiesce import errors

POLICY = Policy(lease_ms=3_000, stall_ms=5_000, drain_ms=5_000, checkpoint_ms=5_000, publish_ms=9_000)
REASONS: list[errors.QuiesceError] = [
    errors.Unavailable(addresses="a", seconds=1, detail="x"),
    errors.DeadlineExceeded(operation="x", seconds=1),
    errors.LeaseLost(epoch=1),
    errors.NoLeader(),
    errors.SnapshotWorkerFailed(node_id=1, code=1, detail="x"),
    errors.NoCheckpoint(node_id=1, epoch=1),
    errors.RepositoryFull(repository="r", detail="x"),
    errors.QuiesceError(detail="x"),
]


class World:
    """A cluster, a repository and everything that can go wrong between them and a job."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1_000
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.leader = 1
        self.lease: Held | None = None
        self.epochs = itertools.count(100)
        self.granted: set[int] = set()
        self.told: set[int] = set()
        self.released: set[int] = set()
        self.release_by_owner = False
        self.renewed: dict[int, int] = {}
        # Coordinators one after another; tickets are those of one of them.
        self.generation = 0
        self.asked: dict[tuple[int, int], e.Effect] = {}
        self.aborted: set[tuple[int, int]] = set()
        self.fence = 0
        # What lies in the place of the manifest of each snapshot id.
        self.names: dict[str, str] = {}
        # Each seed has its own temper: some runs are nearly quiet, some all failure.
        self.trouble = self.random.choice([0.0, 0.02, 0.1, 0.4])
        request = Request("job", "repo", node_id=self.random.choice([0, 0, 0, 1, 2]))
        self.job, wanted = begin(request, POLICY, self.moment())
        # What the journal holds; it lags behind but for what must be in it before a manifest is published.
        self.recorded = self.job
        self.carry_out(wanted, None)
        self.deaths = 0
        for _ in range(self.random.choice([0, 0, 1, 2, 30])):
            self.later(self.random.randrange(20_000), self.die)
        if self.random.random() < 0.3:
            self.later(self.random.randrange(60_000), lambda: self.tell(h.Cancel()))
        if self.random.random() < 0.1:
            self.later(self.random.randrange(20_000), lambda: self.tell(h.JournalLost(Failure.of(errors.NoLeader()))))
        if self.random.random() < 0.2:
            self.later(self.random.randrange(30_000), self.take_lease_away)

    def moment(self) -> Moment:
        # The wall clock jumps about; nothing may depend on it.
        return Moment(self.now, 1_700_000_000_000 + self.now + self.random.randrange(-5_000, 5_000))

    def later(self, delay: int, action: Callable[[], None]) -> None:
        heapq.heappush(self.queue, (self.now + delay, next(self.order), action))

    def die(self) -> None:
        """The coordinator dies, or stands still for ever; soon another goes on with what is recorded."""
        if self.job.ended and self.recorded.ended:
            return
        self.generation += 1
        self.deaths += 1
        self.job = self.recorded
        generation = self.generation
        self.now += self.random.choice([1, 500, 5_000])

        def go_on() -> None:
            if generation == self.generation and not self.recorded.ended:
                self.job, wanted = resume(self.recorded, self.moment())
                self.recorded = self.job
                self.carry_out(wanted, None)

        go_on()

    def take_lease_away(self) -> None:
        self.lease = None

    def held(self) -> Held | None:
        if self.lease is not None and self.now >= self.lease.expires_ms:
            self.lease = None
        return self.lease

    # --- what the job asks for

    def carry_out(self, wanted: list[e.Effect], because: h.Happening | None) -> None:
        for effect in wanted:
            if isinstance(effect, e.Abort):
                self.aborted.add((self.generation, effect.ticket))
                continue
            by = self.generation, self.job.fence if effect.epoch == self.job.epoch else 0
            assert (self.generation, effect.ticket) not in self.asked, "a ticket is used once"
            self.asked[self.generation, effect.ticket] = effect
            self.check(effect, because)
            self.later(self.delay(), lambda effect=effect, by=by: self.arrive(effect, *by))  # type: ignore[misc]

    def check(self, effect: e.Effect, because: h.Happening | None) -> None:
        stray = isinstance(effect, e.ReleaseLease) and effect.epoch != self.job.epoch
        assert stray or effect.epoch == self.job.epoch, "effects carry the epoch"
        if isinstance(effect, e.AcquireLease):
            assert self.deaths or self.told <= self.released, "a second lease is asked for while one is held"
            assert self.job.node_id == effect.node_id
        if isinstance(effect, e.ReleaseLease):
            self.released.add(effect.epoch)
            self.release_by_owner |= effect.epoch == 0
        if isinstance(effect, e.Publish):
            assert isinstance(because, h.Renewed), "published without a renewal just before"
            assert self.renewed.get(because.ticket) == effect.epoch, "published under another epoch"
            assert effect.draft == self.job.snapshot_id.encode()
            # It is recorded first: who takes over knows that it may have happened.
            self.recorded = self.job

    def delay(self) -> int:
        if self.random.random() < self.trouble / 4:
            return self.random.randrange(40_000)
        return self.random.randrange(1, 120)

    def arrive(self, effect: e.Effect, generation: int, fence: int) -> None:
        """The effect reaches the world, unless it was aborted in time; its answer travels back, if there is anyone."""
        if (generation, effect.ticket) in self.aborted and self.random.random() < 0.7:
            return
        refuse = self.random.random() < self.trouble / 2
        acted = self.answer(effect, generation, fence) if not refuse or self.random.random() < 0.5 else None
        answer: h.Answer | None = acted
        if refuse:
            # Some failures say that nothing was published, and are believed.
            reasons = REASONS if acted is None or not isinstance(effect, e.Publish) else REASONS[:2]
            answer = h.Failed(effect.ticket, Failure.of(self.random.choice(reasons)))
        if answer is None or self.random.random() < self.trouble / 8:
            return
        self.later(self.delay(), lambda: self.tell(answer, generation))
        if self.random.random() < self.trouble:
            self.later(self.delay(), lambda: self.tell(answer, generation))

    def holds(self, epoch: int, fence: int) -> bool:
        held = self.held()
        return held is not None and held.epoch == epoch and (fence or epoch) == (self.fence or epoch)

    def answer(self, effect: e.Effect, generation: int, fence: int) -> h.Answer | None:  # noqa: C901
        ticket = effect.ticket
        lost = h.Failed(ticket, Failure.of(errors.LeaseLost(epoch=effect.epoch)))
        match effect:
            case e.FindLease(job_id=job_id):
                held = self.held()
                ours = held if held is not None and owns(held.owner, job_id) else None
                return h.LeaseFound(
                    ticket, ours.epoch if ours else 0, ours.node_id if ours else 0, f"fresh-{generation}-{ticket}"
                )
            case e.TakeOver(owner=owner, ttl_ms=ttl_ms):
                held = self.held()
                if held is None or held.epoch != effect.epoch:
                    return lost
                self.lease = Held(held.node_id, owner, held.reason, self.now + ttl_ms, held.epoch)
                self.fence = next(self.epochs)
                return h.TakenOver(ticket, self.fence)
            case e.Withdraw(snapshot_id=snapshot_id):
                found = self.names.setdefault(snapshot_id, "withdrawn")
                return h.Settled(ticket, found == "published", f"fresh-{generation}-{ticket}")
            case e.CheckRepository():
                return h.RepositoryReady(ticket)
            case e.LookAround():
                down = self.random.random() < self.trouble / 2
                passing = down and self.random.random() < 0.5
                replicas = tuple(
                    Replica(n, healthy=not (down and n == 2), serving=True, passing=passing and n == 2)
                    for n in (1, 2, 3)
                )
                held = self.held()
                if held is not None and owns(held.owner, "job"):
                    replicas = tuple(
                        replace(one, serving=one.serving and one.node_id != held.node_id) for one in replicas
                    )
                    held = held if effect.epoch == 0 else None
                return h.Surveyed(ticket, Survey("c", self.leader, replicas, held), f"snapshot-{ticket}")
            case e.TransferLeadership():
                self.leader = self.random.choice([1, 2, 3])
                return h.Transferred(ticket, self.leader)
            case e.AcquireLease(node_id=node_id, owner=owner, reason=reason, ttl_ms=ttl_ms):
                if (held := self.held()) is not None and not owns(held.owner, "job"):
                    return h.Failed(ticket, Failure.of(errors.RotationHeld(owner="other")))
                if held is not None and generation < self.generation:
                    return None
                self.fence = 0
                self.lease = Held(node_id, owner, reason, self.now + ttl_ms, next(self.epochs))
                self.granted.add(self.lease.epoch)
                return h.Acquired(ticket, self.lease.epoch)
            case e.RenewLease(ttl_ms=ttl_ms):
                held = self.held()
                if held is None or not self.holds(effect.epoch, fence):
                    return lost
                assert generation == self.generation or not self.taken_over(), "one that was taken over from renews"
                self.lease = Held(held.node_id, held.owner, held.reason, self.now + ttl_ms, held.epoch)
                self.renewed[ticket] = effect.epoch
                return h.Renewed(ticket)
            case e.MoveLease(node_id=node_id, ttl_ms=ttl_ms):
                held = self.held()
                if held is None or not self.holds(effect.epoch, fence):
                    return lost
                assert generation == self.generation or not self.taken_over(), "one that was taken over from moves"
                self.lease = Held(node_id, held.owner, held.reason, self.now + ttl_ms, held.epoch)
                return h.Moved(ticket, node_id)
            case e.ReleaseLease(owner=owner):
                held = self.held()
                if held is not None and held.epoch == effect.epoch and not self.holds(effect.epoch, fence):
                    return lost
                if held is not None and (held.epoch == effect.epoch or (effect.epoch == 0 and held.owner == owner)):
                    assert generation == self.generation or not self.taken_over(), (
                        "one that was taken over from gives back"
                    )
                    self.lease = None
                return h.Released(ticket)
            case e.AwaitDrained():
                return h.Drained(ticket)
            case e.WriteMark():
                return h.Marked(ticket, Mark(1, 2, 3)) if self.holds(effect.epoch, fence) else lost
            case e.AwaitCheckpoint():
                return h.Checkpointed(ticket)
            case e.TakeSnapshot(snapshot_id=snapshot_id):
                for _ in range(self.random.randrange(5)):
                    self.later(self.random.randrange(4_000), lambda: self.tell(h.Progressed(ticket), generation))
                taken = h.Taken(ticket, snapshot_id.encode())
                self.later(self.random.randrange(8_000), lambda: self.tell(taken, generation))
                return h.Progressed(ticket)
            case e.Publish(draft=draft):
                if self.names.setdefault(draft.decode(), "published") == "withdrawn":
                    return lost
                assert list(self.names.values()).count("published") == 1, "published twice"
                return h.Published(ticket)
            case e.AwaitServing():
                return h.Returned(ticket)
        raise AssertionError(effect)

    # --- what the job hears

    def taken_over(self) -> bool:
        """Whether the present coordinator has the lease for its own."""
        return self.job.lease is not None

    @property
    def published(self) -> int:
        return list(self.names.values()).count("published")

    def tell(self, happening: h.Happening, generation: int | None = None) -> None:
        if generation is not None and generation != self.generation:
            return
        before = self.job
        if isinstance(happening, h.Acquired):
            self.told.add(happening.epoch)
        self.job, wanted = step(before, happening, self.moment())
        self.carry_out(wanted, happening)
        if self.random.random() < 0.7 or self.job.ended:
            self.recorded = self.job
        self.invariants(before)

    def invariants(self, before: Backup) -> None:
        job = self.job
        times = [event.at_ms for event in job.events]
        assert times == sorted(times), "history out of order"
        assert job.events[: len(before.events)] == before.events, "history was rewritten"
        assert job.lease is None or job.step in HOLDING
        assert job.lease is None or job.lease.epoch == job.epoch
        assert job.attempt <= POLICY.attempts
        assert not before.ended or job.step is Step.DONE, "a job that ended came back"
        if job.ended:
            assert job.verdict is not None
            assert (job.failure is None) == (job.verdict is Verdict.SUCCEEDED)
            assert job.verdict is not Verdict.SUCCEEDED or self.published == 1

    def run(self) -> None:
        give_up = self.now + 600_000
        while self.queue or not self.job.ended:
            wake = wake_at(self.job) if not self.job.ended else None
            if self.queue and (wake is None or self.queue[0][0] <= wake):
                at, _, action = heapq.heappop(self.queue)
                self.now = max(self.now, at)
                action()
            elif wake is not None:
                self.now = max(self.now, wake + self.random.choice([0, 0, 3, 700]))
                before = self.job
                self.tell(h.Tick())
                assert self.job != before, "a tick that changes nothing would be asked for again at once"
            assert self.now < give_up, "the job does not end"
        uncertain = any("does not say" in event.text for event in self.job.events)
        if self.published and not uncertain:
            assert self.job.verdict is Verdict.SUCCEEDED, "a snapshot is there of a job that has not made it"
        if self.deaths:
            # What was granted to one that is dead ends by itself.
            return
        assert self.told <= self.released, "a lease was granted and never given back"
        assert self.granted <= self.told | self.released or self.release_by_owner, "a lease was forgotten"
