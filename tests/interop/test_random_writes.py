"""P10: what was written at random into Quiesce, the real OrientDB takes whole."""

from __future__ import annotations

import random

import pytest

from tests.interop.files import EXAMPLES
from tests.interop.passage import Passages
from tests.interop.scribbler import Scribbler


@pytest.mark.timeout(300)
def test_random_writes_go_through_both(passages: Passages) -> None:
    seed = random.randrange(2**32)
    passages.bring_in(EXAMPLES / "orient-3.2-template.json", "scribbled")
    try:
        with passages.client() as client:
            scribbler = Scribbler(client, "scribbled", seed)
            scribbler.prepare()
            scribbler.write(150)
        passage = passages.database("scribbled")
    finally:
        passages.drop("scribbled")
    assert passage.refused == "", seed
    assert [str(one) for one in passage.unexplained] == [], seed
    assert passage.changed_on_the_way_back == [], seed
    assert passage.records > 300
    assert passage.limits["versions"]
