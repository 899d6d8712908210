"""tests/interop/table.py: the page says what was found."""

from __future__ import annotations

from collections import Counter

from quiesce.orientdb import Difference
from tests.interop.passage import Passage
from tests.interop.table import page


def test_page() -> None:
    good = Passage("good.json", "3.2.34", 13, records=1_234, changed={"#1:1"}, limits=Counter(versions=9, policies=2))
    bad = Passage("bad.json", "2.1", 11, refused="no", unexplained_count=3)
    bad.changed_by_quiesce = [Difference("class", "A", "", "{}", None)]
    text = page([good, bad], "3.2.49")
    assert "with OrientDB 3.2.49;" in text
    assert (
        "| Quiesce | OrientDB changed | by its limits | not explained | back |\n|---|---|---|---|---|---|---|---|---|\n"
        in text
    )
    assert "| `good.json` | 3.2.34 | 13 | 1,234 | 0 | 1 | policies 2 | 0 | 0 |\n" in text
    assert "| `bad.json` | 2.1 | 11 | 0 | 1 | refused | – | 3 | 0 |\n" in text
    assert "| versions | 9 |" in text
    assert "empty-binary" not in text
    assert (good.whole, bad.whole) == (True, False)
