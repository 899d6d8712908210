"""The steps of a backup job.

`step(job, happening, now)` returns the job's next state and what is to be done. Whatever happens, in whatever order and
however often, a job ends; a lease it was granted is given back or has ended; and a manifest is published only right
after the cluster has renewed the lease of the very epoch it was made under.
"""

from __future__ import annotations

from dataclasses import replace

from coordinator.job import happenings, moving, resuming
from coordinator.job.attesting import judge
from coordinator.job.choosing import Wish, choose
from coordinator.job.effects import Effect
from coordinator.job.ending import end, end_if_due, end_or_elsewhere
from coordinator.job.happenings import Answer, Happening
from coordinator.job.model import Backup, Failure, Lease, Moment, Policy, Request, Step, Verdict
from coordinator.job.turn import HOLDING, Turn
from quiesce.errors import (
    BackupCancelled,
    BackupFailed,
    ClusterDegraded,
    DeadlineExceeded,
    LeaseLost,
    QuiesceError,
    RepositoryUnusable,
    RotationHeld,
)

# A cluster between two leaders is worth another look within the step's deadline.
_PASSING = frozenset({"NO_LEADER", "NOT_LEADER", "UNAVAILABLE"})
# After these the manifest was certainly not written; after anything else nobody knows.
_NOT_PUBLISHED = frozenset({"LEASE_LOST", "SNAPSHOT_EXISTS", "REPOSITORY_FULL", "JOB_TAKEN_OVER"})
_NOT_SETTLED = (
    "the repository does not say whether the snapshot was published; `quiesce snapshots` shows it when it answers again"
)
# How long a job that is to end waits to hear whether its lease was granted.
_LAST_WORD_MS = 2_000


def begin(request: Request, policy: Policy, now: Moment) -> tuple[Backup, list[Effect]]:
    """Return a new job and the first thing to do."""
    turn = Turn(Backup(request, policy, started_ms=now.unix_ms), now)
    turn.check()
    return turn.result()


def resume(job: Backup, now: Moment) -> tuple[Backup, list[Effect]]:
    """Return a job that another coordinator, or this one before its restart, has left, and the first thing to do."""
    left_at = job.left_at if job.step is Step.RESUME else job.step
    left = replace(job, left_at=left_at, ticket=0, deadline=0, lease=None, draft=b"", unsettled=None)
    turn = Turn(replace(left, resumed=job.resumed + 1), now)
    turn.note("a coordinator goes on with the job")
    turn.find_lease()
    return turn.result()


def wake_at(job: Backup) -> int:
    """Return the monotonic time at which the job wants a Tick, if nothing happens before."""
    times = [job.deadline]
    if job.lease is not None:
        times.append(job.lease.until)
        if not job.lease.renewing and job.step in HOLDING and job.step is not Step.FENCE:
            times.append(job.lease.renew_at)
    return min(times)


def step(job: Backup, happening: Happening, now: Moment) -> tuple[Backup, list[Effect]]:
    """Return what becomes of `job` by `happening`, and what is to be done."""
    turn = Turn(job, now)
    match happening:
        case Answer():
            _answered(turn, happening)
        case _ if job.ended:
            pass
        case happenings.Tick():
            _ticked(turn)
        case happenings.Cancel(why):
            _cancelled(turn, why)
        case happenings.JournalLost(failure):
            _journal_lost(turn, failure)
    return turn.result()


def _answered(turn: Turn, answer: Answer) -> None:
    job = turn.job
    if job.lease is not None and answer.ticket == job.lease.renewing != 0:
        _renewal(turn, job.lease, answer)
    elif answer.ticket == job.ticket != 0 and not job.ended:
        if isinstance(answer, happenings.Failed):
            _failed(turn, answer.failure)
        else:
            _advance(turn, answer)
    elif isinstance(answer, happenings.Acquired) and answer.epoch != job.epoch:
        # Granted after this job had stopped waiting for it.
        turn.release_stray(answer.epoch)


def _advance(turn: Turn, answer: Answer) -> None:  # noqa: C901 — one flat table reads best
    job = turn.job
    match job.step, answer:
        case Step.RESUME, happenings.LeaseFound():
            resuming.lease_found(turn, answer)
        case Step.RESUME, happenings.TakenOver(fence=fence):
            turn.taken_over(fence)
            resuming.go_on(turn)
        case Step.SETTLE, happenings.Settled():
            resuming.settled(turn, answer)
        case Step.CHECK, happenings.RepositoryReady():
            turn.look_around(first=True)
        case Step.CHOOSE, happenings.Surveyed():
            _surveyed(turn, answer)
        case Step.TRANSFER, happenings.Transferred(leader_id=leader_id):
            if leader_id == job.node_id:
                detail = f"node {job.node_id} leads, and no other node took over"
                end(turn, Verdict.FAILED, Failure.of(ClusterDegraded(detail=detail)))
            elif not end_if_due(turn):
                # The new leader has yet to hear of everybody before it lets anyone go.
                turn.set(transferred=True)
                turn.look_around(first=True)
        case Step.ACQUIRE, happenings.Acquired(epoch=epoch, before=before):
            turn.granted(epoch, before)
            if not end_if_due(turn):
                turn.drain()
        case Step.DRAIN, happenings.Drained():
            if job.mark is None:
                turn.write_mark()
            else:
                turn.await_checkpoint(job.mark)
        case Step.MOVE, happenings.Surveyed():
            moving.surveyed(turn, answer)
        case Step.MOVE, happenings.Moved(node_id=node_id):
            moving.moved(turn, node_id)
        case Step.MARK, happenings.Marked(mark=mark):
            turn.await_checkpoint(mark)
        case Step.CHECKPOINT, happenings.Checkpointed():
            turn.take_snapshot()
        case Step.SNAPSHOT, happenings.Progressed():
            turn.extend(job.policy.stall_ms)
        case Step.SNAPSHOT, happenings.Paced(clients=clients):
            turn.paced(clients)
        case Step.SNAPSHOT, happenings.Taken():
            _taken(turn, answer)
        case Step.FENCE, happenings.Renewed():
            turn.renewed(job.asked_at)
            turn.publish()
        case Step.PUBLISH, happenings.Published():
            turn.note(f"snapshot {job.snapshot_id} is published")
            end(turn, Verdict.SUCCEEDED, None)
        case Step.RELEASE, happenings.Released():
            _given_back(turn)
        case Step.RETURN, happenings.Returned():
            turn.done(f"node {job.node_id} serves again")
        case _:
            pass


def _taken(turn: Turn, answer: happenings.Taken) -> None:
    judgement = judge(turn.job.node_id, answer.content_id, answer.attestations)
    for note in judgement.notes:
        turn.note(note)
    if answer.clients is not None:
        turn.set(clients=answer.clients)
        if text := answer.clients.text():
            turn.note(text)
    turn.set(diverged=turn.job.diverged | set(judgement.diverged), agreeing=judgement.agreeing)
    if judgement.refusal is not None:
        _failed(turn, Failure.of(judgement.refusal))
        return
    turn.fence(answer.text)
    said = {turn.job.node_id: answer.content_id} | {one.node_id: one.content_id for one in answer.attestations}
    attestations = tuple(sorted((node, found) for node, found in said.items() if found))
    turn.set(draft=answer.draft, attestations=attestations)


def _surveyed(turn: Turn, answer: happenings.Surveyed) -> None:
    job = turn.job
    request = job.request
    wanted = job.node_id if job.transferred else request.node_id
    wish = Wish(wanted, tried=job.tried, last_used=request.last_used, failed=request.failed)
    try:
        choice = choose(answer.survey, wish)
        if choice.leads and job.transferred:
            raise ClusterDegraded(detail=f"node {choice.node_id} leads again although another node had taken over")
    except QuiesceError as error:
        again = isinstance(error, ClusterDegraded) and answer.survey.passing
        again = again or (isinstance(error, ClusterDegraded | RotationHeld) and job.attempt > 1)
        _not_chosen(turn, Failure.of(error), again=again)
        return
    voters = tuple(replica.node_id for replica in answer.survey.replicas)
    turn.set(node_id=choice.node_id, snapshot_id=answer.snapshot_id, voters=voters)
    if job.attempt == 1:
        turn.fail(None)
    turn.note(f"node {choice.node_id} was chosen: {choice.why}")
    if choice.leads:
        turn.transfer()
    else:
        turn.acquire()


def _not_chosen(turn: Turn, failure: Failure, *, again: bool) -> None:
    job = turn.job
    if again:
        turn.note_once(f"no replica can be taken yet: {failure.message}")
        if job.attempt == 1:
            turn.fail(failure)
        turn.look_around(first=False)
    elif job.attempt > 1 and job.failure is not None:
        turn.note(f"no other replica can be taken: {failure.message}")
        end(turn, Verdict.FAILED, job.failure)
    else:
        end(turn, Verdict.FAILED, failure)


def _failed(turn: Turn, failure: Failure) -> None:
    job = turn.job
    match job.step:
        case Step.RESUME:
            resuming.not_resumed(turn, failure)
        case Step.SETTLE:
            turn.note_once(f"it is not known yet whether the snapshot was published: {failure.message}")
            turn.settle(job.unsettled, pause_ms=job.policy.poll_ms)
        case Step.PUBLISH if failure.reason not in _NOT_PUBLISHED:
            turn.note(failure.message)
            turn.abort()
            turn.settle(failure)
        case Step.CHOOSE:
            _not_chosen(turn, failure, again=failure.reason in _PASSING or job.attempt > 1)
        case Step.FENCE if failure.reason != LeaseLost.reason():
            # The work of hours must not be lost to an election: the lease still runs.
            turn.note_once(f"the lease was not renewed yet: {failure.message}")
            turn.renew_fence(pause_ms=job.policy.renew_again_ms())
        case Step.RELEASE:
            turn.note(f"the lease was not given back ({failure.message}); it ends by itself")
            _given_back(turn)
        case Step.RETURN:
            turn.done(f"node {job.node_id} does not serve yet: {failure.message}")
        case Step.TRANSFER | Step.ACQUIRE if job.ending is not None:
            end_if_due(turn)
        case Step.MOVE:
            moving.not_moved(turn, failure)
        case _:
            end_or_elsewhere(turn, failure)


def _given_back(turn: Turn) -> None:
    job = turn.job
    if job.verdict is None:
        turn.next_attempt()
    elif job.epoch:
        turn.await_serving()
    else:
        turn.done("")


def _renewal(turn: Turn, lease: Lease, answer: Answer) -> None:
    if isinstance(answer, happenings.Renewed):
        turn.renewed(lease.asked_at)
    elif isinstance(answer, happenings.Failed):
        if answer.failure.reason == LeaseLost.reason():
            _lease_lost(turn)
        else:
            turn.note_once(f"the lease was not renewed yet: {answer.failure.message}")
            turn.renew_later()


def _lease_lost(turn: Turn) -> None:
    job = turn.job
    failure = Failure.of(LeaseLost(epoch=job.epoch))
    turn.set(lease=None)
    if job.step in (Step.PUBLISH, Step.SETTLE):
        # The fence was passed before; what the publication comes to decides.
        turn.note("the lease ended during the publication")
    elif job.step is Step.MOVE:
        moving.give_up(turn)
    elif job.step in HOLDING:
        end(turn, Verdict.FAILED, failure)


def _ticked(turn: Turn) -> None:
    job, now = turn.job, turn.now.mono_ms
    if job.lease is not None:
        if now >= job.lease.until:
            _lease_lost(turn)
            return
        if not job.lease.renewing and now >= job.lease.renew_at and job.step in HOLDING - {Step.FENCE}:
            turn.renew()
    if now >= job.deadline:
        _late(turn)


def _late(turn: Turn) -> None:
    job = turn.job
    seconds = f"{turn.waited_ms() / 1000:g}"
    failure = Failure.of(DeadlineExceeded(operation=f"The step {job.step} of the backup", seconds=seconds))
    match job.step:
        case Step.RESUME:
            turn.abort()
            resuming.too_late(turn, failure)
        case Step.SETTLE:
            turn.abort()
            turn.note(_NOT_SETTLED)
            late = Failure.of(BackupFailed(step=Step.PUBLISH.value, detail=_NOT_SETTLED))
            end(turn, Verdict.FAILED, job.unsettled or late)
        case Step.CHECK:
            detail = f"it did not answer within {seconds} s"
            failure = Failure.of(RepositoryUnusable(repository=job.request.repository, detail=detail))
            end(turn, Verdict.FAILED, failure)
        case Step.CHOOSE:
            turn.abort()
            end(turn, Verdict.FAILED, job.failure or failure)
        case Step.FENCE:
            _lease_lost(turn)
        case Step.MOVE:
            moving.give_up(turn)
        case _:
            _failed(turn, failure)


def _cancelled(turn: Turn, why: str) -> None:
    job = turn.job
    failure = Failure.of(BackupCancelled(job_id=job.request.job_id))
    match job.step:
        case Step.RESUME | Step.SETTLE if job.unsettled is None:
            turn.note_once(f"cancelled: {why}")
            turn.set(ending=(Verdict.CANCELLED, failure))
        case Step.PUBLISH | Step.SETTLE:
            turn.note_once(f"cancel came too late ({why}): the snapshot is being published")
        case Step.RETURN:
            turn.done("not waiting for the replica to serve again")
        case Step.RELEASE:
            if job.verdict is None:
                turn.set(verdict=Verdict.CANCELLED)
                turn.fail(failure)
                turn.note(f"cancelled: {why}")
        case Step.TRANSFER | Step.ACQUIRE:
            _end_soon(turn, Verdict.CANCELLED, failure, f"cancelled: {why}")
        case _:
            turn.note(f"cancelled: {why}")
            end(turn, Verdict.CANCELLED, failure)


def _journal_lost(turn: Turn, failure: Failure) -> None:
    match turn.job.step:
        case Step.RESUME:
            turn.note_once("the job's state could not be recorded")
            resuming.too_late(turn, failure)
        case Step.RELEASE if turn.job.verdict is None:
            turn.set(verdict=Verdict.FAILED)
            turn.fail(failure)
        case Step.PUBLISH | Step.SETTLE | Step.RELEASE | Step.RETURN:
            turn.note_once(f"the job's state could not be recorded: {failure.message}")
        case Step.TRANSFER | Step.ACQUIRE:
            _end_soon(turn, Verdict.FAILED, failure, "the job's state could not be recorded")
        case _:
            turn.note_once("the job's state could not be recorded")
            end(turn, Verdict.FAILED, failure)


def _end_soon(turn: Turn, verdict: Verdict, failure: Failure, text: str) -> None:
    if turn.job.ending is None:
        turn.note(text)
        deadline = min(turn.job.deadline, turn.now.mono_ms + _LAST_WORD_MS)
        turn.set(ending=(verdict, failure), deadline=deadline)
