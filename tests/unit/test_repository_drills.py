"""What drills have found, beside the snapshots: the latest word counts, and a damaged one is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiesce.errors import DamagedObject, RepositoryUnusable
from quiesce.repository import Repository, open_repository
from quiesce.repository.drills import DrillError, DrillRecord, decode_drill, encode_drill, put_drill, verified_times
from quiesce.snapshot import MalformedObject


def record(ended_ms: int, *, verified: bool = True, drill_id: str = "d1", snapshot_id: str = "s1") -> DrillRecord:
    return DrillRecord(
        drill_id=drill_id,
        snapshot_id=snapshot_id,
        content_id="c0ffee",
        verified=verified,
        started_ms=1,
        ended_ms=ended_ms,
        parts={"restore": 5},
        error=None if verified else DrillError("DAMAGED_OBJECT", "one bit"),
    )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return open_repository(tmp_path / "repository", create=True)


def objects(repository: Repository) -> list[Path]:
    return sorted(Path(repository.location).glob("verified/*/*"))


@given(st.integers(0, 1 << 60), st.text(), st.booleans(), st.integers(0, 255), st.integers(0, 7))
def test_a_record_is_what_it_was_and_notices_each_flipped_bit(
    number: int, text: str, verified: bool, at: int, bit: int
) -> None:
    made = DrillRecord(
        drill_id=text, snapshot_id="s", content_id="c", verified=verified, started_ms=number, ended_ms=number,
        parts={text: number}, records=number, links=number, error=DrillError(text, text),
    )  # fmt: skip
    data = encode_drill(made)
    assert decode_drill(data) == made
    changed = bytearray(data)
    changed[at % len(data)] ^= 1 << bit
    with pytest.raises(MalformedObject):
        decode_drill(bytes(changed))


def test_the_latest_record_of_a_snapshot_counts(repository: Repository) -> None:
    put_drill(repository, record(5_000))
    # A second drill of the same snapshot, within the same second, and one of another snapshot.
    put_drill(repository, record(5_001, drill_id="a0"))
    put_drill(repository, record(9_000, snapshot_id="s2"))
    assert verified_times(repository, ["s1", "s2", "s3"]) == {"s1": 5_001, "s2": 9_000}
    put_drill(repository, record(6_000, verified=False))
    assert verified_times(repository, ["s1", "s2"]) == {"s2": 9_000}
    put_drill(repository, record(7_000, drill_id="d2"))
    assert verified_times(repository, ["s1"]) == {"s1": 7_000}


def test_the_same_record_twice_is_no_error_and_another_in_its_place_is(repository: Repository) -> None:
    put_drill(repository, record(5_000))
    put_drill(repository, record(5_000))
    assert len(objects(repository)) == 1
    with pytest.raises(RepositoryUnusable):
        put_drill(repository, record(5_000, verified=False))


def test_a_damaged_record_is_told_of_and_the_one_before_counts(repository: Repository) -> None:
    put_drill(repository, record(5_000))
    put_drill(repository, record(6_000))
    latest = objects(repository)[-1]
    latest.write_bytes(latest.read_bytes().replace(b"c0ffee", b"decaf0"))
    told: list[DamagedObject] = []
    assert verified_times(repository, ["s1"], told.append) == {"s1": 5_000}
    assert [error.fields["object"] for error in told] == [f"verified/s1/{latest.name}"]
    # Whole, but of another snapshot: somebody has copied it.
    latest.write_bytes(encode_drill(record(6_000, snapshot_id="s2")))
    assert verified_times(repository, ["s1"], told.append) == {"s1": 5_000}
    assert len(told) == 2
