"""Whose snapshot counts: the rule, and what a job makes of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from coordinator.job import Moment, Policy, Replica, Request, Step, Survey, begin, step
from coordinator.job import effects as e
from coordinator.job import happenings as h
from coordinator.job.attesting import Attestation, Judgement, judge
from coordinator.job.model import Backup, Mark
from coordinator.record import diverged_last, failed_last, from_document, record_of, to_document, to_message
from quiesce.errors import ReplicaDiverged

A, B, C = "a" * 64, "b" * 64, "c" * 64


def others(**said: str) -> list[Attestation]:
    """Attestations by node, as in n1="a…"; `-` stands for none, `!` for a damaged store."""
    made = []
    for name, content in said.items():
        node = int(name[1:])
        if content in "-!":
            made.append(Attestation(node, why="why", damaged=content == "!"))
        else:
            made.append(Attestation(node, content))
    return made


def outcome(judgement: Judgement) -> tuple[bool, tuple[int, ...], tuple[int, ...]]:
    return judgement.refusal is None, judgement.diverged, judgement.agreeing


def test_the_majority_of_those_who_answer_is_right() -> None:
    assert outcome(judge(2, A, others(n1=A, n3=A))) == (True, (), (1, 2, 3))
    assert outcome(judge(2, A, others(n1=A, n3=B))) == (True, (3,), (1, 2))
    assert outcome(judge(2, B, others(n1=A, n3=A))) == (False, (2,), ())
    assert outcome(judge(2, B, others(n1=A, n3=A, n4=A, n5=C))) == (False, (2, 5), ())
    assert outcome(judge(2, A, others(n1=A, n3=A, n4=B, n5=B))) == (True, (4, 5), (1, 2, 3))


def test_without_a_majority_nobody_knows_who_is_right() -> None:
    for judgement in (
        judge(2, A, others(n1=B)),
        judge(2, A, others(n1=B, n3="-")),
        judge(2, A, others(n1=B, n3=C)),
        judge(2, A, others(n1=A, n3=B, n4=B)),
        # More than any other, and not a majority.
        judge(2, A, others(n1=A, n3=B, n4=C)),
    ):
        assert outcome(judgement) == (False, (), ())
        assert judgement.refusal is not None
        assert "no majority" in judgement.refusal.message()


def test_who_does_not_answer_is_noted_and_stops_nothing() -> None:
    judgement = judge(2, A, others(n1="-", n3="-"))
    assert outcome(judgement) == (True, (), (2,))
    assert judgement.notes == ("node 1 did not attest: why", "node 3 did not attest: why")
    assert outcome(judge(2, A, [])) == (True, (), (2,))
    assert outcome(judge(2, A, others(n1="!", n3=A))) == (True, (1,), (2, 3))
    assert outcome(judge(2, A, others(n1="!", n3=B))) == (False, (1,), ())


@given(st.text("abc", min_size=1, max_size=1), st.lists(st.sampled_from(["a", "b", "c", "-", "!"]), max_size=6))
def test_the_rule(own: str, said: list[str]) -> None:
    judgement = judge(1, own, others(**{f"n{node}": what for node, what in enumerate(said, 2)}))
    answers = {1: own} | {node: what for node, what in enumerate(said, 2) if what in "abc"}
    [right] = [what for what, n in Counter(answers.values()).items() if 2 * n > len(answers)] or [None]
    assert (judgement.refusal is None) == (own == right)
    wrong = {node for node, what in answers.items() if right is not None and what != right}
    assert set(judgement.diverged) == wrong | {node for node, what in enumerate(said, 2) if what == "!"}
    assert set(judgement.agreeing) == ({node for node in answers if node not in wrong} if own == right else set())


def taken(job: Backup, content: str, *said: Attestation) -> h.Taken:
    return h.Taken(job.ticket, b"draft", "all of it", content, said)


def at_snapshot(request: Request) -> tuple[Backup, list[e.Effect]]:
    job, _ = begin(request, Policy(), Moment(0, 0))
    return onwards(job, last_node=0)


def moved(job: Backup) -> tuple[Backup, e.Effect]:
    """Bring a job that has failed on node 2 to its snapshot of node 3."""
    survey = Survey("c", 1, tuple(Replica(n, healthy=True, serving=n != 2) for n in (1, 2, 3)))
    job, [move] = step(job, h.Surveyed(job.ticket, survey, "unused"), Moment(3, 3))
    assert isinstance(move, e.MoveLease)
    for answer in (h.Moved(job.ticket, move.node_id), h.Drained, h.Checkpointed):
        job, [effect] = step(job, answer if isinstance(answer, h.Moved) else answer(job.ticket), Moment(3, 3))
    return job, effect


def onwards(job: Backup, last_node: int) -> tuple[Backup, list[e.Effect]]:
    """Bring a job from where it looks around to its snapshot."""
    survey = Survey("c", 1, tuple(Replica(n, healthy=True, serving=True) for n in (1, 2, 3)))
    wanted: list[e.Effect] = []
    if job.step is Step.CHECK:
        job, _ = step(job, h.RepositoryReady(job.ticket), Moment(1, 1))
    answers = (
        lambda: h.Surveyed(job.ticket, survey, "snapshot"),
        lambda: h.Acquired(job.ticket, 10 + last_node),
        lambda: h.Drained(job.ticket),
        lambda: h.Marked(job.ticket, Mark(1, 2, 3)),
        lambda: h.Checkpointed(job.ticket),
    )
    for answer in answers:
        job, wanted = step(job, answer(), Moment(1, 1))
    assert job.step is Step.SNAPSHOT
    return job, wanted


def test_a_refused_replica_is_named_and_another_takes_over() -> None:
    job, [effect] = at_snapshot(Request("job", "repository"))
    assert isinstance(effect, e.TakeSnapshot)
    assert (effect.node_id, effect.attesters) == (2, (1, 3))
    job, wanted = step(job, taken(job, B, Attestation(1, A), Attestation(3, A)), Moment(2, 2))
    assert job.step is Step.MOVE
    assert not any(isinstance(one, e.Publish | e.RenewLease) for one in wanted)
    job, effect = moved(job)
    assert isinstance(effect, e.TakeSnapshot)
    assert (job.mark, effect.epoch) == (Mark(1, 2, 3), 10), "at the same mark, under the same lease"
    assert (effect.node_id, effect.attesters) == (3, (1, 2))
    job, _ = step(job, taken(job, A, Attestation(1, A), Attestation(2, B)), Moment(4, 4))
    assert job.step is Step.FENCE
    job, wanted = step(job, h.Renewed(job.ticket), Moment(5, 5))
    [publish] = [one for one in wanted if isinstance(one, e.Publish)]
    assert publish.attestations == ((1, A), (2, B), (3, A))
    for answer in (h.Published, h.Released, h.Returned):
        job, _ = step(job, answer(job.ticket), Moment(6, 6))
    record = record_of(job)
    assert (record.state, record.diverged_nodes, record.agreeing_nodes) == ("succeeded", (2,), (1, 3))
    assert from_document(to_document(record)) == record
    assert list(to_message(record).diverged_nodes) == [2]
    # Not soon again; until it attests what the others hold.
    assert diverged_last([record]) == {2}
    assert 2 in failed_last([record], now_ms=0)
    healed = record_of(replace(job, diverged=frozenset(), agreeing=(1, 2, 3)))
    assert diverged_last([healed, record]) == frozenset()
    assert diverged_last([record, healed]) == {2}


def test_a_replica_that_was_wanted_and_has_diverged_fails_the_backup() -> None:
    job, _ = at_snapshot(Request("job", "repository", node_id=2))
    job, _ = step(job, taken(job, B, Attestation(1, A), Attestation(3, A)), Moment(2, 2))
    for answer in (h.Released, h.Returned):
        job, _ = step(job, answer(job.ticket), Moment(3, 3))
    record = record_of(job)
    assert record.state == "failed"
    assert isinstance(record.error(), ReplicaDiverged)
    assert record.diverged_nodes == (2,)
    assert record.failed_nodes == (2,)
