"""Steps along edges: out(), in(), both(), outE() and so on, over the link bags that vertices keep.

A vertex names each edge that leaves it in `out_<class of the edge>`, each that comes in in `in_<class>`; the edge is a
record with the links `out` and `in`. A lightweight edge has no record: the bag names the vertex at its other end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Protocol

from quiesce.records import RID, LinkList
from quiesce.sql.links import Links
from quiesce.sql.rows import Element
from quiesce.sql.values import is_collection


class Classes(Protocol):
    """What has to be known of the schema."""

    def family(self, class_name: str) -> Collection[str]:
        """Return a class and its sub-classes, in lower case; nothing where there is no such class."""


Step = Callable[[Any, Sequence[str], Links, Classes], Any]


def edge_fields(direction: str, labels: Sequence[str], names: Sequence[str], classes: Classes) -> list[str]:
    """Return which fields of a vertex hold its edges in a direction, of some classes or of all."""
    prefix = f"{direction}_"
    found = [name for name in names if name.startswith(prefix)]
    if not labels:
        return found
    wanted = {label.lower() for label in labels}.union(*(classes.family(label) for label in labels))
    return [name for name in found if (name[len(prefix) :].lower() or "e") in wanted]


def _each(value: Any, links: Links) -> Iterator[Element]:
    """Yield the records that a value leads to."""
    if isinstance(value, Element):
        yield value
    elif isinstance(value, RID):
        found = links.get(value)
        if found is not None:
            yield found
    elif is_collection(value):
        for found in links.get_all(item for item in value if isinstance(item, RID)):
            if found is not None:
                yield found


def _edges(directions: Sequence[str]) -> Step:
    def step(value: Any, labels: Sequence[str], links: Links, classes: Classes) -> LinkList:
        found = LinkList()
        for vertex in _each(value, links):
            for direction in directions:
                for name in edge_fields(direction, labels, list(vertex.document), classes):
                    found.extend(link for link in _bag(vertex.document[name]) if link is not None)
        return found

    return step


def _vertices(directions: Sequence[str]) -> Step:
    def step(value: Any, labels: Sequence[str], links: Links, classes: Classes) -> LinkList:
        found = LinkList()
        for vertex in _each(value, links):
            for direction in directions:
                other = "in" if direction == "out" else "out"
                for name in edge_fields(direction, labels, list(vertex.document), classes):
                    found.extend(_other_ends(_bag(vertex.document[name]), other, links))
        return found

    return step


def _other_ends(bag: Sequence[RID], other: str, links: Links) -> Iterator[RID]:
    for rid, edge in zip(bag, links.get_all(bag), strict=True):
        if edge is None:
            continue
        end = edge.get(other)
        # A record without that link is no edge: the vertex itself, behind a lightweight one.
        yield end if isinstance(end, RID) else rid


def _ends(directions: Sequence[str]) -> Step:
    def step(value: Any, _labels: Sequence[str], links: Links, _classes: Classes) -> Any:
        found = [
            end
            for edge in _each(value, links)
            for direction in directions
            if isinstance(end := edge.get(direction), RID)
        ]
        if len(directions) == 1 and not is_collection(value):
            return found[0] if found else None
        return LinkList(found)

    return step


def _bag(value: Any) -> list[RID]:
    if isinstance(value, RID):
        return [value]
    return [item for item in value if isinstance(item, RID)] if is_collection(value) else []


FUNCTIONS: dict[str, Step] = {
    "out": _vertices(["out"]),
    "in": _vertices(["in"]),
    "both": _vertices(["out", "in"]),
    "oute": _edges(["out"]),
    "ine": _edges(["in"]),
    "bothe": _edges(["out", "in"]),
    "outv": _ends(["out"]),
    "inv": _ends(["in"]),
    "bothv": _ends(["out", "in"]),
}
