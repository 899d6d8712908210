"""docs/limits.md says what quiesce/rpc/limits.py sets."""

from pathlib import Path

import pytest

from quiesce.rpc import limits

NAMES = [name for name, value in vars(limits).items() if isinstance(value, int) and name != "MEBIBYTE"]


def words(value: int) -> str:
    return f"{value // limits.MEBIBYTE} MiB" if value % limits.MEBIBYTE == 0 else f"{value:,}"


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_is_documented_with_its_value(name: str, project_root: Path) -> None:
    rows = [line for line in (project_root / "docs" / "limits.md").read_text().splitlines() if f"`{name}`" in line]
    assert len(rows) == 1, f"docs/limits.md needs one row for {name}"
    assert f"| {words(getattr(limits, name))} |" in rows[0]


def test_a_full_batch_fits_a_message() -> None:
    # The framing of an operation: tags, lengths, cluster, class name and position stay below this.
    assert limits.BATCH_BYTES + limits.BATCH_OPERATIONS * 500 <= limits.MESSAGE_BYTES


def test_a_record_fits_a_batch() -> None:
    assert limits.RECORD_BYTES <= limits.BATCH_BYTES


@pytest.mark.parametrize("options", [limits.CHANNEL_OPTIONS, limits.SERVER_OPTIONS])
def test_either_end_finds_out_that_the_other_is_gone(options: list[tuple[str, int]]) -> None:
    # gRPC's servers look after two hours; a scan whose reader vanished in the network keeps its place until then.
    chosen = dict(options)
    assert chosen["grpc.keepalive_time_ms"] + chosen["grpc.keepalive_timeout_ms"] <= 15_000
    assert chosen["grpc.keepalive_permit_without_calls"] == 1
