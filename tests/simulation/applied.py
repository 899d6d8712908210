"""What the log's entries come to: a reference that no fault touches applies each, alone, when a node first does."""

from __future__ import annotations

import random
from pathlib import Path

from nodes.consensus.interface import CommittedEntry
from nodes.statemachine import ReplicatedState
from nodes.statemachine.membership import voters
from nodes.store.engine import PAGES
from nodes.store.keys import PAGE_SHIFT, RECORD, STAMP
from quiesce.v1.peer_pb2 import LogEntry, Membership, Outcome
from quiesce.v1.record_pb2 import WriteRequest
from tests.simulation.content import check_content
from tests.simulation.disk import SimulatedDisk
from tests.simulation.engine import Image, Tables, applied_of, is_between_entries
from tests.simulation.files import SimulatedFiles
from tests.simulation.history import Rid, Truth
from tests.simulation.violation import require

# What a command may come to without anything being wrong.
_EXPECTED_FAILURES = frozenset((
    "STALE_VERSION", "DUPLICATE_KEY", "UNKNOWN_RECORD", "SESSION_EXPIRED", "OUTCOME_UNKNOWN", "DATABASE_EXISTS",
    "INVALID_SCHEMA_CHANGE", "ROTATION_HELD", "LEASE_LOST", "UNKNOWN_DATABASE", "NODE_ID_TAKEN", "UNKNOWN_NODE",
    "MEMBERSHIP_CHANGE_REFUSED",
))  # fmt: skip
_NO_OUTCOME = frozenset(("SESSION_EXPIRED", "OUTCOME_UNKNOWN"))
# The whole content is checked every so many entries.
_FULL_CHECK = 25


class Applied:
    """The one truth that every replica must come to, entry by entry."""

    def __init__(self) -> None:
        root = Path("/reference")
        disk = SimulatedDisk(root, random.Random(0))
        self._state = ReplicatedState(root, 0, SimulatedFiles(disk))
        image = disk.names[self._state.store.engine.directory]
        assert isinstance(image, Image)
        self._image = image
        self._entries: dict[int, tuple[int, bytes]] = {}
        self._outcomes: dict[int, bytes] = {}
        self._refused: set[int] = set()
        self._digests: dict[int, int] = {}
        # By session and sequence: what the write came to.
        self._writes: dict[tuple[int, int], bytes] = {}
        self._deleted: dict[Rid, int] = {}
        self._made: dict[tuple[int, int, int], int] = {}
        self.truth = Truth()
        # The index of the last change of the membership, and who voted until then.
        self.changed_at = 0
        self.voters_before: list[int] = []
        # Writes that came again and got the answer they had.
        self.second_tries = 0

    @property
    def index(self) -> int:
        """The greatest index that any node has applied."""
        return self._state.applied[0]

    @property
    def membership(self) -> Membership | None:
        """Who belongs to the cluster, as of what any node has applied."""
        return self._state.membership

    def entry(self, node: int, entry: CommittedEntry) -> None:
        """Take an entry that a node is about to apply."""
        known = self._entries.get(entry.index)
        if known is None:
            self._entries[entry.index] = (entry.term, entry.data)
            self._first(entry)
            return
        require(known == (entry.term, entry.data), f"node {node} applies another entry {entry.index} than others did")

    def outcome(self, node: int, proposal_id: int, outcome: Outcome) -> None:
        """Take what a command came to on a node."""
        text = outcome.SerializeToString(deterministic=True)
        require(self._outcomes.get(proposal_id) == text, f"node {node} comes to another outcome: {outcome}")

    def refuse(self, proposal_ids: list[int]) -> None:
        """Take that proposers were told that nothing of it has happened or will."""
        self._refused.update(proposal_ids)
        done = [one for one in proposal_ids if one in self._outcomes]
        require(not done, f"proposals {done} were refused, and have taken effect")

    def state(self, node: int, tables: Tables) -> None:
        """Take the whole state of a node; one that is in the middle of an entry is looked at when it is through."""
        index = applied_of(tables)[0]
        if index and is_between_entries(tables):
            require(
                _digest(tables) == self._digests.get(index), f"the state of node {node} at {index} is not as it must be"
            )

    def check(self) -> None:
        """Check the content of the state, whatever the entries were."""
        check_content(self._state, self._image.newest, self._made, self._deleted)

    def _first(self, entry: CommittedEntry) -> None:
        commands = LogEntry.FromString(entry.data).commands
        before = self._state.membership
        outcomes = self._state.apply([entry])
        for command, (proposal_id, outcome) in zip(commands, outcomes, strict=True):
            require(proposal_id not in self._outcomes, f"a proposal takes effect twice: {command}")
            require(proposal_id not in self._refused, f"a proposal takes effect that was refused: {command}")
            self._outcomes[proposal_id] = outcome.SerializeToString(deterministic=True)
            if outcome.HasField("failure"):
                reason = outcome.failure.reason
                require(reason in _EXPECTED_FAILURES, f"a command ended with {reason}: {command}")
            if command.HasField("write"):
                self._check_write(command.write, outcome, entry.index)
        if before is not None and self._state.membership != before:
            self.changed_at, self.voters_before = entry.index, voters(before)
        self._image.sync()
        self._digests[entry.index] = _digest(self._image.newest)
        if entry.index % _FULL_CHECK == 0:
            self.check()

    def _check_write(self, write: WriteRequest, outcome: Outcome, index: int) -> None:
        session, sequence = write.session_id, write.sequence
        failed = outcome.HasField("failure")
        again = (session, sequence) in self._writes
        if session and not (failed and outcome.failure.reason in _NO_OUTCOME):
            text = outcome.SerializeToString(deterministic=True)
            known = self._writes.setdefault((session, sequence), text)
            require(known == text, f"sequence {sequence} of session {session} came to two outcomes: {outcome}")
        if failed:
            return
        if again:
            self.second_tries += 1
            return
        require(outcome.write.index == index, f"a write at {index} is said to have been made at {outcome.write.index}")
        (database,) = [one.id for one in self._state.store.state.databases.values() if one.name == write.database]
        for operation, written in zip(write.operations, outcome.write.written, strict=True):
            rid = written.cluster, written.position
            if operation.HasField("delete"):
                self._deleted[rid] = index
                self.truth.change(rid, index, None)
            else:
                made = *rid, written.version
                require(made not in self._made, f"version {written.version} of {rid} was made before")
                self._made[made] = index
                text = operation.update.body or operation.create.body
                self.truth.change(rid, index, (written.version, text))
            page = RECORD.pack(database, written.cluster, written.position >> PAGE_SHIFT)
            stamp = STAMP.unpack(self._image.newest[PAGES].rows.get(page, bytes(8)))[0]
            require(stamp == index, f"the page of {rid} has stamp {stamp}, and was touched at {index}")


def _digest(tables: Tables) -> int:
    digest = 0
    for family, table in tables.items():
        digest ^= hash((family, table.digest))
    return digest
