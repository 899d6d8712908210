"""What two values, records or definitions differ in, place by place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from quiesce.orientdb.escapes import Constant, Number, Pairs, pairs, written
from quiesce.orientdb.record_text import ExportedRecord
from quiesce.records.shapes import types_of
from quiesce.v1.record_pb2 import RecordKind

LISTED = 100
_SHOWN = 80
_UNORDERED = frozenset("ne")
_DOCUMENT = RecordKind.RECORD_KIND_DOCUMENT


@dataclass(frozen=True, slots=True)
class Difference:
    """One place in which two databases differ.

    `left` and `right` are JSON text, with the code of `@fieldTypes` behind it where there is one (`7 (l)`); None where
    there is nothing.
    """

    # record, cluster, class, index, ...
    what: str
    # Its record id or name.
    name: str
    # Where in it, as `address.tags[2]`; "" for all of it.
    path: str
    left: str | None
    right: str | None

    def __str__(self) -> str:
        thing = f"{self.what} {self.name}"
        if not self.path and (self.left is None or self.right is None):
            return f"{thing} is only on the {'right' if self.left is None else 'left'}"
        return f"{thing}: {self.path}: {_short(self.left)} | {_short(self.right)}"


def _short(text: str | None) -> str:
    if text is None:
        return "(nothing)"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


@dataclass(slots=True)
class Differences:
    """What two databases differ in: all of it counted, the first of it listed."""

    # Records that are equal.
    equal_records: int = 0
    count: int = 0
    # By what differs: record, class, ...
    by_what: dict[str, int] = field(default_factory=dict)
    # The first LISTED of them.
    listed: list[Difference] = field(default_factory=list)
    # Told of each, also behind the first LISTED.
    each: Callable[[Difference], None] | None = None

    def __bool__(self) -> bool:
        return self.count > 0

    def add(self, difference: Difference) -> None:
        """Note a difference."""
        self.count += 1
        self.by_what[difference.what] = self.by_what.get(difference.what, 0) + 1
        if len(self.listed) < LISTED:
            self.listed.append(difference)
        if self.each is not None:
            self.each(difference)

    def extend(self, differences: Iterator[Difference]) -> bool:
        """Note several; False where there was none."""
        before = self.count
        for one in differences:
            self.add(one)
        return self.count > before


def record_differences(left: ExportedRecord, right: ExportedRecord, *, versions: bool = True) -> Iterator[Difference]:
    """Yield what two records of the same id differ in.

    Numbers are compared by their digits, sets without order, and the order of fields does not count.
    """
    name = f"#{left.cluster}:{left.position}"
    if versions and left.version != right.version:
        yield Difference("record", name, "@version", str(left.version), str(right.version))
    if left.kind != right.kind or left.flat != right.flat:
        yield Difference("record", name, "@type", *(_kind(one) for one in (left, right)))
        return
    if left.body == right.body:
        return
    if left.kind != _DOCUMENT:
        yield Difference("record", name, "value", *(_content(one) for one in (left, right)))
        return
    ours, theirs = (_value(pairs(one.body), "") for one in (left, right))
    for path, one, other in _between(ours, theirs, ""):
        yield Difference("record", name, path, one, other)


def definition_differences(
    what: str, name: str, left: Mapping[str, Any], right: Mapping[str, Any]
) -> Iterator[Difference]:
    """Yield what two definitions, as plain mappings and lists, differ in."""
    for path, one, other in _between(_plain(left), _plain(right), ""):
        yield Difference(what, name, path, one, other)


def _kind(record: ExportedRecord) -> str:
    return "document" if record.kind == _DOCUMENT else "flat record" if record.flat else "blob"


def _content(record: ExportedRecord) -> str:
    return written(record.body.decode()) if record.flat else f"{len(record.body)} bytes"


@dataclass(frozen=True, slots=True)
class _Leaf:
    text: str
    code: str

    def __str__(self) -> str:
        return f"{self.text} ({self.code})" if self.code else self.text


@dataclass(frozen=True, slots=True)
class _Fields:
    named: dict[str, Any]
    code: str


@dataclass(frozen=True, slots=True)
class _Items:
    items: list[Any]
    code: str


def _value(value: Any, code: str) -> _Leaf | _Fields | _Items:
    """Turn what `pairs` returned into a tree in which each value has its type."""
    if isinstance(value, Pairs):
        named: dict[str, Any] = dict(value)
        codes, shapes = types_of(str(named.pop("@fieldTypes", "")), named)
        fields = {name: _value(item, codes.pop(name, "")) for name, item in named.items()}
        # A type without a field says nothing of a value, but a copy has it, too.
        fields |= {f"@fieldTypes.{name}": _Leaf(kind, "") for name, kind in codes.items()}
        fields |= {f"@shapes.{name}": _Leaf(shape, "") for name, shape in shapes.items()}
        return _Fields(fields, code)
    if isinstance(value, list):
        items = [_value(item, "") for item in value]
        return _Items(sorted(items, key=repr) if code in _UNORDERED else items, code)
    if isinstance(value, str) and not isinstance(value, Number | Constant):
        return _Leaf(written(str(value)), code)
    return _Leaf(written(value), code)


def _plain(value: Any) -> _Leaf | _Fields | _Items:
    if isinstance(value, Mapping):
        return _Fields({str(name): _plain(item) for name, item in value.items()}, "")
    if isinstance(value, list | tuple):
        return _Items([_plain(item) for item in value], "")
    return _Leaf(repr(value) if isinstance(value, float) else written(_jsonable(value)), "")


def _jsonable(value: Any) -> Any:
    return Number(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _between(left: Any, right: Any, path: str) -> Iterator[tuple[str, str | None, str | None]]:
    if left == right:
        return
    if isinstance(left, _Fields) and isinstance(right, _Fields) and left.code == right.code:
        for name in sorted(left.named.keys() | right.named.keys()):
            yield from _between(left.named.get(name), right.named.get(name), f"{path}.{name}" if path else name)
    elif (
        isinstance(left, _Items)
        and isinstance(right, _Items)
        and left.code == right.code
        and left.code not in _UNORDERED
        and len(left.items) == len(right.items)
    ):
        for at, (one, other) in enumerate(zip(left.items, right.items, strict=True)):
            yield from _between(one, other, f"{path}[{at}]")
    else:
        yield path, _text(left), _text(right)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    text = _json(value)
    return f"{text} ({value.code})" if value.code else text


def _json(value: Any) -> str:
    if isinstance(value, _Fields):
        return "{" + ",".join(f"{written(name)}:{_text(item)}" for name, item in value.named.items()) + "}"
    if isinstance(value, _Items):
        return "[" + ",".join(str(_text(item)) for item in value.items) + "]"
    return str(value.text)
