import pytest

from tests.nemesis.sightings import Sighting, contradictions


def change(index, version, value="x"):
    return Sighting(index, version, value, True, "writer")


def seen(index, version, value="x"):
    return Sighting(index, version, value, False, "reader")


def test_what_fits_has_no_contradictions():
    # Several writes may share a log entry, and with it the index; what is seen there comes behind all of them.
    story = [seen(9, 4, "c"), change(5, 1, "a"), seen(5, 1, "a"), change(7, 2, "b"), change(7, 3, "c"), seen(7, 3, "c")]
    assert contradictions(story) == []
    assert contradictions([*story, change(12, 5, "e"), seen(11, 4, "c")]) == []


@pytest.mark.parametrize(
    "story",
    [
        [change(5, 2), seen(6, 1)],
        [seen(5, 2), seen(6, 1)],
        [change(5, 2, "a"), seen(6, 2, "b")],
        [change(5, 2), change(6, 2)],
        [change(5, 3), change(6, 2)],
        [seen(5, 2), change(6, 2)],
        [seen(5, 1), seen(5, 2)],
        [change(5, 2), seen(4, 2)],
        [change(5, 2), seen(4, 3, "y")],
    ],
    ids=[
        "an acknowledged change is not there",
        "a sighting goes back",
        "a version has two values",
        "a version is made twice",
        "changes go back",
        "a version is seen before it is made",
        "one index, two versions",
        "a change is seen at an index before it",
        "what comes later is seen at an index before it",
    ],
)
def test_contradictions(story):
    assert contradictions(story)
    assert contradictions(story[::-1])
