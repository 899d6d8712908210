import itertools

from nodes.consensus.barriers import ReadBarriers


class Someone:
    def __init__(self) -> None:
        self.gone = False

    def done(self) -> bool:
        return self.gone


def barriers(retry_ticks: int = 4) -> ReadBarriers[Someone]:
    numbers = itertools.count()
    return ReadBarriers(lambda: b"%d" % next(numbers), retry_ticks=retry_ticks)


def test_readers_share_a_round_and_wait_for_its_index():
    reads = barriers()
    first, second = Someone(), Someone()
    reads.add(first)
    reads.add(second)
    (context,) = reads.contexts(0)
    assert reads.applied(100) == []
    reads.answered(context, 7)
    assert reads.next_index == 7
    assert reads.applied(6) == []
    assert reads.applied(7) == [first, second]
    assert reads.next_index is None


def test_a_reader_never_joins_a_round_that_was_asked_before_it_came():
    reads = barriers()
    early, late = Someone(), Someone()
    reads.add(early)
    (first,) = reads.contexts(0)
    reads.add(late)
    (second,) = reads.contexts(0)
    assert first != second
    reads.answered(first, 3)
    assert reads.applied(3) == [early]
    reads.answered(second, 5)
    assert reads.applied(5) == [late]


def test_a_later_answer_covers_earlier_rounds():
    reads = barriers()
    early, late = Someone(), Someone()
    reads.add(early)
    reads.contexts(0)
    reads.add(late)
    (second,) = reads.contexts(0)
    reads.answered(second, 5)
    assert reads.applied(5) == [early, late]


def test_rounds_under_way_are_bounded_and_the_rest_shares_one():
    reads = barriers()
    readers = [Someone() for _ in range(30)]
    contexts = []
    for reader in readers:
        reads.add(reader)
        contexts += reads.contexts(0)
    assert len(contexts) == reads.MOST_ROUNDS
    reads.answered(contexts[-1], 1)
    (rest,) = reads.contexts(0)
    reads.answered(rest, 2)
    assert reads.applied(2) == readers


def test_a_round_without_an_answer_is_asked_again_while_someone_waits():
    reads = barriers(retry_ticks=4)
    reader = Someone()
    reads.add(reader)
    (context,) = reads.contexts(0)
    assert reads.contexts(3) == []
    assert reads.contexts(4) == [context]
    assert reads.contexts(7) == []
    reader.gone = True
    assert reads.contexts(8) == []
    reads.answered(context, 9)
    assert reads.applied(9) == []


def test_an_unknown_answer_means_nothing():
    reads = barriers()
    reads.answered(b"?", 9)
    assert reads.next_index is None
