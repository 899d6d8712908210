"""A policy as a value: as a document, as a message, and its history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator.policies import BackupPolicy, Spec
from coordinator.policies.documents import from_document, to_document
from coordinator.policies.messages import policy_message, spec_of
from coordinator.schedule import Missed, Overlap, Timetable
from quiesce.records import decode_document, encode_document
from quiesce.v1 import backup_pb2

HOUR = 3_600_000
START = 1_795_000_000_000


def test_a_policy_survives_its_document_and_its_message() -> None:
    spec = Spec(
        "nightly",
        cron="30 2 * * *",
        zone="Europe/Berlin",
        overlap=Overlap.CANCEL,
        missed=Missed.SKIP,
        retries=0,
        databases=("a", "b"),
        lease_ms=60_000,
    )
    policy = BackupPolicy(spec, Timetable(decided_ms=START, running=True), "job", START, "why").noted(START, "created")
    assert from_document(decode_document(encode_document(to_document(policy)))) == policy
    assert spec_of(policy_message(policy, START).spec) == spec
    assert spec_of(policy_message(replace(policy, spec=Spec("a", every_ms=HOUR)), START).spec) == Spec(
        "a", every_ms=HOUR
    )
    for text in ("", "{}", '{"spec": {"name": "a", "cron": "at noon"}, "table": {"decided_ms": 0}}'):
        with pytest.raises(ValueError, match=r"truncated|spec|cron"):
            from_document({"@class": "Policy", "name": "x", "policy": text})


def test_a_history_is_bounded_and_says_nothing_twice() -> None:
    policy = BackupPolicy(Spec("a", every_ms=HOUR), Timetable(decided_ms=0))
    for number in range(200):
        policy = policy.noted(number, f"{number // 2}")
    assert len(policy.events) == 50
    assert policy.events[-1].text == "99"
    assert backup_pb2.Job(policy="a").policy == "a"
