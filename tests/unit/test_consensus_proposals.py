from hypothesis import given
from hypothesis import strategies as st

from nodes.consensus.interface import CommittedEntry
from nodes.consensus.proposals import AppendedProposals, Proposal, pack
from quiesce.v1.peer_pb2 import Command, LogEntry


def committed(*places: tuple[int, int]) -> list[CommittedEntry]:
    return [CommittedEntry(index, term, b"") for index, term in places]


@given(st.lists(st.integers(0, 400), max_size=40), st.integers(1, 8), st.integers(1, 300))
def test_packed_entries_are_log_entries_with_all_commands_in_order(sizes, commands, size):
    made = [Command(proposal_id=number) for number in range(len(sizes))]
    for command, length in zip(made, sizes, strict=True):
        command.drop_database.name = "x" * length
    proposals = [Proposal(command.proposal_id, command.SerializeToString()) for command in made]
    packed = pack(proposals, commands=commands, size=size)
    read = [LogEntry.FromString(entry.data) for entry in packed]
    assert [command for entry in read for command in entry.commands] == made
    for entry, one in zip(packed, read, strict=True):
        assert entry.proposal_ids == [command.proposal_id for command in one.commands]
        assert 1 <= len(one.commands) <= commands
        assert len(one.commands) == 1 or sum(command.ByteSize() for command in one.commands) <= size


def test_proposals_are_lost_where_another_entry_is_committed_in_their_place():
    appended = AppendedProposals()
    appended.add(6, 1, [60])
    appended.add(7, 1, [70, 71])
    appended.add(8, 1, [80])
    assert appended.committed(committed((6, 1))) == []
    assert appended.committed(committed((7, 2))) == [70, 71]
    assert appended
    assert appended.committed(committed((8, 1), (9, 1))) == []
    assert not appended


def test_an_entry_overwritten_here_may_still_be_the_one_that_is_committed():
    appended = AppendedProposals()
    appended.add(6, 1, [60])
    appended.add(7, 1, [70])
    # The same node leads again, its old entries gone from its own log.
    appended.add(6, 3, [61])
    assert appended.committed(committed((6, 1), (7, 1))) == [61]
    assert not appended


def test_a_snapshot_hides_what_became_of_proposals():
    appended = AppendedProposals()
    appended.add(6, 1, [60])
    appended.add(9, 1, [90])
    assert appended.skipped(8) == [60]
    assert appended.clear() == [90]
    assert not appended
