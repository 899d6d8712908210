"""What is applied reaches the disk before a machine that loses its power would have too much to apply again."""

from pathlib import Path

import pytest
from state_entries import Replica, create, new_class, new_database, tick, write
from state_entries import alter as alter_schema

from nodes.statemachine import replicated_state
from nodes.store.engine import Engine


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    seen: list[Path] = []
    sync = Engine.sync

    def noted(self: Engine) -> None:
        sync(self)
        seen.append(self.directory)

    monkeypatch.setattr(Engine, "sync", noted)
    return seen


def test_after_so_many_entries(tmp_path: Path, syncs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicated_state, "SYNC_ENTRIES", 10)
    replica = Replica(tmp_path)
    for number in range(9):
        replica.ok(tick(number))
    assert not syncs
    for number in range(11):
        replica.ok(tick(number))
    assert len(syncs) == 2


def test_after_so_many_bytes(tmp_path: Path, syncs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicated_state, "SYNC_BYTES", 10_000)
    replica = Replica(tmp_path)
    replica.ok(new_database(), alter_schema(new_class("Person")))
    for _ in range(9):
        replica.ok(write(create("Person", text="x" * 1000)))
    assert not syncs
    replica.ok(write(create("Person", text="x" * 1000)))
    assert len(syncs) == 1
    # Asked for by the log, it counts as well.
    replica.state.durable_index()
    replica.ok(write(create("Person", text="x" * 9000)))
    assert len(syncs) == 2
