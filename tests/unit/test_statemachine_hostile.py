"""No command, however odd, may end a replica: an entry stays in the log, so all would end, again after each restart."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hostile_commands import COMMANDS, LOOKUP_KEYS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from state_entries import (
    Entry,
    adopt,
    alter,
    command,
    content,
    create,
    create_in,
    entry,
    new_class,
    new_database,
    new_index,
    write,
)

from nodes.statemachine import ReplicatedState, commands, replicated_state
from nodes.store import index_fill
from quiesce.errors import QuiesceError
from quiesce.v1 import database_pb2 as db
from quiesce.v1 import peer_pb2, record_pb2


def prelude() -> list[peer_pb2.Command]:
    """Two databases with something in them, so that not everything fails at its name."""
    part = db.IndexField(name="k", key_type="ANY")
    return [
        command(open_session=record_pb2.OpenSessionRequest(client="c")),
        new_database(),
        new_database("filling", importing=True),
        alter(
            db.SchemaChange(create_cluster=db.Cluster(id=7, name="seven")),
            new_class("A"),
            new_class("B", super_classes=["A"]),
            new_index("A", "k", fields=[part]),
            new_index("A", "l", kind="DICTIONARY"),
            new_index("B", "k", kind="NOTUNIQUE", fields=[part]),
        ),
        alter(db.SchemaChange(create_cluster=db.Cluster(id=3, name="default")), new_class("A"), database="filling"),
        write(create("A", k=1, l="x"), create("B", k="b", l="y"), create_in(7, b'{"k":"z","l":"x"}')),
        adopt(1, 2, 3),
    ]


def apply_all(state: ReplicatedState, entries: list[Entry]) -> list[peer_pb2.Outcome]:
    return [outcome for _, outcome in state.apply(entries)]


def read_all(state: ReplicatedState, keys: list[bytes]) -> None:
    """Read everything in every way; only typed errors may come."""
    with state.store.view() as view:
        for database in view.databases():
            for cluster in database.clusters:
                tried(lambda c=cluster, d=database: list(view.scan_cluster(d.name, c.id)))
            for index in database.indexes:
                tried(lambda i=index, d=database: list(view.scan_index(d.name, i.name)))
                for key in keys:
                    tried(lambda i=index, d=database, k=key: view.lookup(d.name, i.name, [k], 0))


def tried(read: Any) -> None:
    try:
        read()
    except QuiesceError as error:
        assert error.exit_code < 70, error  # noqa: PT017 most reads succeed


@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.lists(COMMANDS, min_size=4, max_size=8), st.lists(LOOKUP_KEYS, max_size=2), st.data())
def test_no_command_ends_a_replica(sent: list[peer_pb2.Command], keys: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        # So that what fills an index is written in parts.
        patch.setattr(index_fill, "BATCH_ENTRIES", 1)
        patch.setattr(replicated_state, "FLUSH_INDEX_BYTES", 1)
        # The second line of defence would hide what the first lets through.
        patch.setattr(commands, "_FAULTS", ())
        single = ReplicatedState(Path(directory, "single"), 1)
        everything = [*prelude(), *sent]
        outcomes: list[peer_pb2.Outcome] = []
        for index, it in enumerate(everything, 1):
            before = content(single.store)
            # Whatever the clock expires is no trace of the command itself.
            moves = it.time_ms > single.store.state.log_time_ms
            [outcome] = apply_all(single, [entry(index, it)])
            assert outcome.WhichOneof("outcome")
            if outcome.HasField("failure") and not moves and not it.write.session_id:
                assert content(single.store) == before, outcome
            if index == len(prelude()):
                assert not any(was.HasField("failure") for was in outcomes), outcomes
            outcomes.append(outcome)
        read_all(single, keys)
        expected = content(single.store, progress=True)
        single.close()
        again = ReplicatedState(Path(directory, "single"), 1)
        assert content(again.store, progress=True) == expected
        again.close()
        # The same entries, handed over in other groups, and with a restart between.
        grouped = ReplicatedState(Path(directory, "grouped"), 2)
        entries = [entry(index, it) for index, it in enumerate(everything, 1)]
        cut = data.draw(st.integers(0, len(entries)))
        found = apply_all(grouped, entries[:cut])
        grouped.close()
        grouped = ReplicatedState(Path(directory, "grouped"), 2)
        found += apply_all(grouped, entries[cut:])
        assert content(grouped.store, progress=True) == expected
        assert found == outcomes
        grouped.close()
