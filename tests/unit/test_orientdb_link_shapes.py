"""quiesce.orientdb.links: links among other values are links like all others, though only shapes tell their types."""

from __future__ import annotations

from quiesce.orientdb.escapes import pairs, written
from quiesce.orientdb.links import LinkWalk
from quiesce.records import RID, Document, LinkBag, decode_document, encode_document


def test_links_among_other_values_follow() -> None:
    document = Document(
        a=[1, RID(5, 1), "#5:1"],
        b={"x": RID(5, 2), "y": "#5:2", "z": 3},
        c=[[RID(5, 3)], LinkBag([RID(5, 4)]), {"k": [RID(5, 5), 0.5]}],
        d=[Document(e=RID(5, 6)), 1],
    )
    seen: list[tuple[str, str]] = []

    def visit(path: str, target: str) -> str:
        seen.append((path, target))
        return target.replace("#5:", "#9:")

    moved = LinkWalk({}).document(pairs(encode_document(document)), visit)
    assert decode_document(written(moved).encode()) == Document(
        a=[1, RID(9, 1), "#5:1"],
        b={"x": RID(9, 2), "y": "#5:2", "z": 3},
        c=[[RID(9, 3)], LinkBag([RID(9, 4)]), {"k": [RID(9, 5), 0.5]}],
        d=[Document(e=RID(9, 6)), 1],
    )
    assert [target for _, target in seen] == [f"#5:{n}" for n in range(1, 7)]
    assert seen[0][0] == "a[1]"
