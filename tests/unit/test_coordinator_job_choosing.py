"""Which replica leaves rotation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator.job.choosing import LAG_STEP, Held, Replica, Survey, Wish, candidates, choose
from quiesce.errors import ClusterDegraded, QuiesceError, RotationHeld, UnknownNode


def cluster(**changes: dict[str, object]) -> Survey:
    """Three nodes, all well, the first leads; `n2={...}` changes node 2."""
    replicas = []
    for node_id in (1, 2, 3):
        replica = Replica(node_id, healthy=True, serving=True, match_index=10_000)
        replicas.append(replace(replica, **changes.get(f"n{node_id}", {})))  # type: ignore[arg-type]
    return Survey("c", 1, tuple(replicas))


@pytest.mark.parametrize(
    ("survey", "arguments", "chosen"),
    [
        (cluster(), {}, 2),
        (cluster(), {"last_used": 2}, 3),
        (cluster(), {"last_used": 3}, 2),
        (cluster(n3={"backup_priority": 1}), {}, 3),
        (cluster(n3={"backup_priority": 1}), {"last_used": 3}, 3),
        (cluster(n1={"backup_priority": 9}), {}, 2),
        (cluster(n2={"match_index": 10_000 - LAG_STEP}), {}, 3),
        # A lag of a moment does not outweigh whose turn it is.
        (cluster(n2={"match_index": 9_999}), {"last_used": 3}, 2),
        (cluster(n2={"serving": False}), {}, 3),
        (cluster(), {"tried": {2}}, 3),
        (cluster(), {"tried": {2, 3}}, 1),
        (cluster(), {"node_id": 1}, 1),
        (cluster(), {"node_id": 3, "last_used": 3}, 3),
        # One that failed last time is not the first choice, whatever its priority; but rather than the leader.
        (cluster(n2={"backup_priority": 9}), {"failed": {2}}, 3),
        (cluster(), {"failed": {2, 3}}, 2),
        (cluster(), {"failed": {2, 3}, "last_used": 2}, 3),
        (cluster(n2={"nobackup": True}), {"last_used": 3}, 3),
        (cluster(n2={"nobackup": True}, n3={"nobackup": True}), {}, 1),
        (cluster(n2={"nobackup": True}), {"node_id": 2}, 2),
    ],
)
def test_chooses(survey: Survey, arguments: dict[str, object], chosen: int) -> None:
    choice = choose(survey, Wish(**arguments))  # type: ignore[arg-type]
    assert choice.node_id == chosen
    assert choice.eligible
    assert choice.leads == (chosen == survey.leader_id)


@pytest.mark.parametrize(
    ("survey", "arguments", "error", "said"),
    [
        (cluster(), {"node_id": 9}, UnknownNode, "1, 2, 3"),
        (cluster(n3={"healthy": False, "detail": "does not answer"}), {}, ClusterDegraded, "node 3 does not answer"),
        (cluster(n2={"healthy": False}), {"node_id": 3}, ClusterDegraded, "node 2"),
        (
            cluster(n2={"serving": False, "detail": "is draining"}),
            {"node_id": 2},
            ClusterDegraded,
            "node 2 is draining",
        ),
        (cluster(), {"node_id": 2, "tried": {2}}, ClusterDegraded, "node 2 has failed"),
        (
            cluster(n1={"nobackup": True}, n2={"nobackup": True}, n3={"nobackup": True}),
            {},
            ClusterDegraded,
            "node 3 has `nobackup`",
        ),
        (cluster(n2={"serving": False}, n3={"serving": False}), {}, ClusterDegraded, "only one that serves"),
        (Survey("c", 1, (Replica(1, healthy=True, serving=True),)), {}, ClusterDegraded, "only one that serves"),
        (replace(cluster(), lease=Held(2, "backup x", "snapshot y", 0, 7)), {}, RotationHeld, "backup x"),
    ],
)
def test_refuses(survey: Survey, arguments: dict[str, object], error: type[QuiesceError], said: str) -> None:
    with pytest.raises(error, match=said):
        choose(survey, Wish(**arguments))  # type: ignore[arg-type]


def test_says_why() -> None:
    survey = cluster(n2={"backup_priority": 3, "match_index": 8_000}, n3={"nobackup": True})
    found = candidates(survey, Wish(last_used=2, failed=frozenset({2})))
    behind = "does not lead, its last backup failed, backup_priority 3, 2,000 log entries behind, was the last one used"
    assert [(one.node_id, one.eligible, one.leads, one.why) for one in found] == [
        (2, True, False, behind),
        (1, True, True, "leads; another would take over first"),
        (3, False, False, "has `nobackup` in its configuration"),
    ]
