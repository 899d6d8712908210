"""The transitions a backup job can make: each changes the state and says what is to be done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from coordinator.job import effects
from coordinator.job.effects import Effect
from coordinator.job.impact import ClientImpact, Wait
from coordinator.job.model import Backup, Failure, JobEvent, Lease, Mark, Moment, Step, owner_of

# Steps in which the lease is held and renewed.
HOLDING = frozenset(
    {Step.DRAIN, Step.MARK, Step.CHECKPOINT, Step.SNAPSHOT, Step.MOVE, Step.FENCE, Step.PUBLISH, Step.SETTLE}
)
# A history is for people; a job that flaps for days must not fill the database with it.
EVENT_LIMIT = 300


class Turn:
    """One call of `step`: the job as it becomes, and the effects so far."""

    def __init__(self, job: Backup, now: Moment) -> None:
        self.job = job
        self.now = now
        self._effects: list[Effect] = []

    def result(self) -> tuple[Backup, list[Effect]]:
        """Return the job and what is to be done."""
        return self.job, self._effects

    def set(self, **changes: Any) -> None:
        """Change fields of the job."""
        self.job = replace(self.job, **changes)

    def note(self, text: str) -> None:
        """Add a line to the job's history."""
        events = self.job.events
        if len(events) >= EVENT_LIMIT and self.job.step not in (Step.RELEASE, Step.RETURN):
            return
        at_ms = max(self.now.unix_ms, events[-1].at_ms if events else 0)
        self.set(events=(*events, JobEvent(at_ms, self.job.step.value, text)))

    def note_once(self, text: str) -> None:
        """Add a line unless it is the last one already."""
        if not self.job.events or self.job.events[-1].text != text:
            self.note(text)

    def fail(self, failure: Failure | None) -> None:
        """Keep why the job fails, or would if it found no other way, and at which step that was."""
        if failure is not self.job.failure:
            self.set(failure=failure, failed_at=self.job.step.value if failure is not None else "")

    def waited_ms(self) -> int:
        """Return how long the present step may take, for messages."""
        policy = self.job.policy
        name = {Step.SNAPSHOT: "stall_ms"}.get(self.job.step, f"{self.job.step.value}_ms")
        return int(getattr(policy, name, 0))

    def extend(self, wait_ms: int) -> None:
        """Set the present step's deadline."""
        self.set(deadline=self.now.mono_ms + wait_ms)

    def abort(self) -> None:
        """Stop what the job waits for."""
        self._abort(self.job.ticket)
        self.set(ticket=0)

    def _abort(self, ticket: int) -> None:
        if ticket:
            self._effects.append(effects.Abort(ticket, self.job.epoch))

    def _ticket(self) -> int:
        self.set(tickets=self.job.tickets + 1)
        return self.job.tickets

    def _owner(self) -> str:
        return owner_of(self.job.request.job_id, self.job.resumed)

    def _enter(self, step: Step, wait_ms: int) -> int:
        ticket = self._ticket()
        self.set(step=step, ticket=ticket, deadline=self.now.mono_ms + wait_ms)
        return ticket

    # --- the way there

    def check(self) -> None:
        """Look at the repository, before anything leaves rotation."""
        ticket = self._enter(Step.CHECK, self.job.policy.check_ms)
        self._effects.append(effects.CheckRepository(ticket, 0, self.job.request.repository))

    def begin_again(self) -> None:
        """Begin the attempt again: nothing has come of it."""
        self.set(node_id=0, transferred=False, epoch=0, fence=0, mark=None, snapshot_id="")
        self.check()

    def look_around(self, *, first: bool) -> None:
        """Survey the cluster; not `first`: once more, within the same deadline."""
        policy = self.job.policy
        if first:
            ticket = self._enter(Step.CHOOSE, policy.choose_ms if self.job.attempt == 1 else policy.recover_ms)
        else:
            ticket = self._ticket()
            self.set(ticket=ticket)
        self._effects.append(effects.LookAround(ticket, 0, 0 if first else policy.poll_ms))

    def transfer(self) -> None:
        """Have another node lead."""
        ticket = self._enter(Step.TRANSFER, self.job.policy.transfer_ms)
        self._effects.append(effects.TransferLeadership(ticket, 0, self.job.node_id))

    def acquire(self) -> None:
        """Ask for the lease."""
        job = self.job
        ticket = self._enter(Step.ACQUIRE, job.policy.acquire_ms)
        self.set(asked_lease=True, asked_at=self.now.mono_ms)
        reason = f"snapshot {job.snapshot_id}"
        self._effects.append(effects.AcquireLease(ticket, 0, job.node_id, self._owner(), reason, job.policy.lease_ms))

    def granted(self, epoch: int, before: Wait | None) -> None:
        """Take note of the lease, and of what clients waited before."""
        budget_ms = self.job.policy.latency_budget_ms
        self.set(epoch=epoch, fence=0, clients=ClientImpact(budget_ms, before))
        self.renewed(self.job.asked_at)
        self.note(f"node {self.job.node_id} is out of rotation, epoch {epoch}")
        if before is not None and before.worst_us > budget_ms * 1000 > 0:
            # Whatever it does, it will not be within its budget.
            self.note(f"before, clients waited {before.text()}, more than the budget of {budget_ms} ms")

    def paced(self, clients: ClientImpact) -> None:
        """Take note of what clients wait; the first time that it is too long, for people as well."""
        before = self.job.clients
        self.set(clients=clients)
        if clients.over_budget_ms and not (before is not None and before.over_budget_ms):
            self.note(f"clients wait longer than the budget of {clients.budget_ms} ms: it reads more slowly")

    def drain(self) -> None:
        """Wait for the replica's running calls."""
        ticket = self._enter(Step.DRAIN, self.job.policy.drain_ms)
        self._effects.append(effects.AwaitDrained(ticket, self.job.epoch, self.job.node_id))

    def write_mark(self) -> None:
        """Fix the log position of the snapshot."""
        self.note(f"node {self.job.node_id} has finished its running calls")
        ticket = self._enter(Step.MARK, self.job.policy.mark_ms)
        self._effects.append(effects.WriteMark(ticket, self.job.epoch, self.job.voters))

    def await_checkpoint(self, mark: Mark) -> None:
        """Wait until the replica has applied the mark."""
        if mark != self.job.mark:
            self.set(mark=mark)
            self.note(f"the mark is term {mark.term}, index {mark.index}")
        ticket = self._enter(Step.CHECKPOINT, self.job.policy.checkpoint_ms)
        self._effects.append(effects.AwaitCheckpoint(ticket, self.job.epoch, self.job.node_id, mark.index))

    def take_snapshot(self) -> None:
        """Have the replica's worker write the pages."""
        job = self.job
        self.note("the checkpoint is there")
        ticket = self._enter(Step.SNAPSHOT, job.policy.stall_ms)
        request = job.request
        self._effects.append(
            effects.TakeSnapshot(
                ticket,
                job.epoch,
                job.node_id,
                job.snapshot_id,
                request.repository,
                request.databases,
                request.rate_limit,
                tuple(node for node in job.voters if node != job.node_id),
                job.policy.latency_budget_ms,
            )
        )

    # --- going on with another replica

    def look_for_another(self, *, first: bool) -> None:
        """Survey the cluster for a replica that could go on; not `first`: once more, within the same deadline."""
        if first:
            # One that stands still may still be asked.
            self.abort()
        ticket = self._enter(Step.MOVE, self.job.policy.move_ms) if first else self._again_or_enter(Step.MOVE)
        self._effects.append(effects.LookAround(ticket, self.job.epoch, 0 if first else self.job.policy.poll_ms))

    def move_lease(self, node_id: int) -> None:
        """Have another replica take the lease."""
        ticket = self._again_or_enter(Step.MOVE)
        self._effects.append(effects.MoveLease(ticket, self.job.epoch, node_id, self.job.policy.lease_ms))

    def fence(self, text: str) -> None:
        """Renew the lease once more: only who still holds it may publish."""
        self.note(text or "all pages are in the repository")
        self._enter(Step.FENCE, 0)
        self.renew_fence(pause_ms=0)

    def renew_fence(self, *, pause_ms: int) -> None:
        """Ask for the renewal that the publication waits for, at most until the lease ends."""
        job = self.job
        ticket = self._ticket()
        until = job.lease.until if job.lease is not None else self.now.mono_ms
        self.set(ticket=ticket, asked_at=self.now.mono_ms + pause_ms, deadline=until)
        ttl_ms, timeout_ms = job.policy.lease_ms, job.policy.renew_every_ms()
        self._effects.append(effects.RenewLease(ticket, job.epoch, ttl_ms, timeout_ms, pause_ms))

    def publish(self) -> None:
        """Put the manifest into the repository."""
        job = self.job
        self.note(f"the lease of epoch {job.epoch} still holds")
        ticket = self._enter(Step.PUBLISH, job.policy.publish_ms)
        self._effects.append(
            effects.Publish(ticket, job.epoch, job.node_id, job.request.repository, job.draft, job.attestations)
        )
        # Megabytes that nobody needs any more.
        self.set(draft=b"")

    def settle(self, failure: Failure | None, *, pause_ms: int = 0) -> None:
        """Find out whether the snapshot was published, and see to it that otherwise it never will be."""
        self.set(unsettled=failure)
        ticket, job = self._again_or_enter(Step.SETTLE), self.job
        self._effects.append(effects.Withdraw(ticket, job.epoch, job.request.repository, job.snapshot_id, pause_ms))

    # --- going on after another coordinator

    def find_lease(self, *, pause_ms: int = 0) -> None:
        """Ask which lease the job holds: what is recorded of it may lag behind."""
        ticket = self._again_or_enter(Step.RESUME)
        self._effects.append(effects.FindLease(ticket, self.job.epoch, self.job.request.job_id, pause_ms))

    def take_over(self, *, pause_ms: int = 0) -> None:
        """Go on with the lease, and shut the coordinator before out."""
        ticket, job = self._again_or_enter(Step.RESUME), self.job
        self.set(asked_at=self.now.mono_ms + pause_ms)
        self._effects.append(effects.TakeOver(ticket, job.epoch, self._owner(), job.policy.lease_ms, pause_ms))

    def _again_or_enter(self, step: Step) -> int:
        """Return a ticket for a step, or for one more try of it within its deadline."""
        if self.job.step is not step or not self.job.deadline:
            return self._enter(step, int(getattr(self.job.policy, f"{step.value}_ms")))
        ticket = self._ticket()
        self.set(ticket=ticket)
        return ticket

    def taken_over(self, fence: int) -> None:
        """Take note that the lease is this coordinator's."""
        self.set(fence=fence)
        self.renewed(self.job.asked_at)
        self.note(f"node {self.job.node_id} is still out of rotation, epoch {self.job.epoch}")

    # --- the lease

    def renew(self) -> None:
        """Ask for a renewal beside the work."""
        lease, policy = self.job.lease, self.job.policy
        if lease is None:
            return
        ticket = self._ticket()
        self.set(lease=replace(lease, renewing=ticket, asked_at=self.now.mono_ms))
        self._effects.append(
            effects.RenewLease(ticket, self.job.epoch, policy.lease_ms, policy.renew_every_ms()),
        )

    def renewed(self, asked_at: int) -> None:
        """The lease holds for its whole time from when it was asked for."""
        policy = self.job.policy
        until, renew_at = asked_at + policy.lease_ms, asked_at + policy.renew_every_ms()
        # A fence may overtake a renewal under way: that one's answer must not shorten the lease.
        held = self.job.lease
        self.set(lease=Lease(self.job.epoch, max(until, held.until if held else 0), renew_at))

    def renew_later(self) -> None:
        """Try the renewal again soon."""
        if self.job.lease is not None:
            renew_at = self.now.mono_ms + self.job.policy.renew_again_ms()
            self.set(lease=replace(self.job.lease, renewing=0, renew_at=renew_at))

    def release_stray(self, epoch: int) -> None:
        """Give back a lease that this job does not use."""
        job = self.job
        self._effects.append(effects.ReleaseLease(self._ticket(), epoch, job.node_id, self._owner()))

    # --- the way back

    def release(self) -> None:
        """Stop whatever runs, and give the lease back."""
        self.abort()
        if self.job.lease is not None:
            self._abort(self.job.lease.renewing)
        job = self.job
        ticket = self._enter(Step.RELEASE, job.policy.release_ms)
        self.set(lease=None, draft=b"")
        self._effects.append(effects.ReleaseLease(ticket, job.epoch, job.node_id, self._owner()))

    def next_attempt(self) -> None:
        """Begin again with another replica."""
        job = self.job
        self.set(
            attempt=job.attempt + 1,
            node_id=0,
            transferred=False,
            epoch=0,
            fence=0,
            mark=None,
            asked_lease=False,
            snapshot_id="",
            clients=None,
        )
        self.look_around(first=True)

    def await_serving(self) -> None:
        """Watch the replica come back."""
        self.note("the lease is given back")
        ticket = self._enter(Step.RETURN, self.job.policy.return_ms)
        self._effects.append(effects.AwaitServing(ticket, self.job.epoch, self.job.node_id))

    def done(self, text: str) -> None:
        """End the job."""
        if text:
            self.note(text)
        self.abort()
        verdict = self.job.verdict
        self.set(step=Step.DONE, deadline=0, lease=None, draft=b"", ended_ms=max(self.now.unix_ms, self.job.started_ms))
        self.note("" if verdict is None else verdict.value)
