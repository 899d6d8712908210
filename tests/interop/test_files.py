"""P10: what Quiesce exports, the real OrientDB takes whole; what OrientDB exports, Quiesce takes whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.interop.files import exports
from tests.interop.passage import Passages

LARGE_BYTES = 1 << 20


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", exports(), ids=lambda path: path.name)
def test_goes_through_both_and_stays_what_it_is(passages: Passages, path: Path) -> None:
    if path.stat().st_size > LARGE_BYTES and not os.environ.get("LARGE"):
        pytest.skip("a large file: `make interop LARGE=1` runs it")
    passage = passages.file(path)
    assert passage.changed_by_quiesce == []
    assert passage.refused == ""
    assert [str(one) for one in passage.unexplained] == []
    assert passage.changed_on_the_way_back == []
    assert passage.records > 0
