"""The types of what is inside a list, set or map: Quiesce's own entries in `@fieldTypes`.

OrientDB's export keeps no type for them. An entry `name==SHAPE` keeps it: every engine passes over an entry of
`@fieldTypes` with two equals signs. The grammar is in docs/formats/record.md. A shape is an empty text where JSON tells
the type by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, unquote

# Stands between a field's name and its shape.
MARK = "=="
# Nothing that separates anything, in a shape, in @fieldTypes, or in JSON.
_KEY_SAFE = "".join(map(chr, range(0x21, 0x7F))).translate({ord(one): None for one in '%,=:;*"\\[]{}<>&#?'})
# As deep as a body may nest.
DEEPEST = 200
_REMEMBERED_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value is, and what is in it."""

    # Of @fieldTypes; "" where JSON tells.
    code: str = ""
    # What all items or values are that are not null.
    every: Shape | None = None
    # What each item is; the rest is as JSON tells.
    items: tuple[Shape, ...] = ()
    # What the values of a map are, by key.
    keys: Mapping[str, Shape] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        """Whether the code says all there is to say."""
        return self.every is None and not self.items and not self.keys

    def item(self, place: int) -> Shape:
        """Return what the item at a place of a list or set is."""
        return self.every or (self.items[place] if place < len(self.items) else PLAIN)

    def value(self, key: str) -> Shape:
        """Return what the value of a map's key is."""
        return self.every or self.keys.get(key, PLAIN)


PLAIN = Shape()


def list_shape(code: str, items: Sequence[str | None]) -> str:
    """Return the shape of a list or set: its code and those of its items, None for a null."""
    return code + _inside("[]", items, items)


def map_shape(values: Mapping[str, str | None]) -> str:
    """Return the shape of a map by those of its values, None for a null."""
    named = [f"{quote(key, safe=_KEY_SAFE)}:{shape}" for key, shape in values.items() if shape]
    return _inside("{}", list(values.values()), named)


def _inside(brackets: str, shapes: Sequence[str | None], written: Sequence[str | None]) -> str:
    kinds = {shape for shape in shapes if shape is not None}
    if not kinds or kinds == {""}:
        return ""
    text = "*" + kinds.pop() if len(kinds) == 1 else ";".join(one or "" for one in written).rstrip(";")
    return brackets[0] + text + brackets[1]


def parse_shape(text: str) -> Shape:
    """Return the shape of an entry's text. Raises ValueError."""
    # The shapes of a class are few and short; long ones name every item of one list.
    return _remembered(text) if len(text) <= _REMEMBERED_CHARACTERS else _parsed(text)


def _parsed(text: str) -> Shape:
    tokens = _Tokens(text)
    shape = tokens.shape(0)
    if tokens.next:
        raise ValueError(f"`{text}` is no shape of a value")
    return shape


_remembered = lru_cache(4096)(_parsed)


class _Tokens:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, expected: str) -> None:
        if self.next != expected:
            raise ValueError(f"`{self._text}` is no shape of a value: `{expected}` expected at {self._at}")
        self._at += 1

    def _skip(self, token: str) -> bool:
        found = self.next == token
        self._at += found
        return found

    def shape(self, depth: int) -> Shape:
        if depth > DEEPEST:
            raise ValueError("a shape is nested too deeply")
        code = ""
        if "a" <= self.next <= "z":
            code = self.next
            self._at += 1
        every: Shape | None = None
        if self._skip("["):
            items: list[Shape] = []
            if self._skip("*"):
                every = self.shape(depth + 1)
            else:
                items.append(self.shape(depth + 1))
                while self._skip(";"):
                    items.append(self.shape(depth + 1))
            self._take("]")
            return Shape(code, every, tuple(items))
        if self._skip("{"):
            keys: dict[str, Shape] = {}
            if self._skip("*"):
                every = self.shape(depth + 1)
            else:
                self._key(keys, depth)
                while self._skip(";"):
                    self._key(keys, depth)
            self._take("}")
            return Shape(code, every, (), keys)
        return Shape(code)

    def _key(self, keys: dict[str, Shape], depth: int) -> None:
        end = self._text.find(":", self._at)
        if end < 0:
            raise ValueError(f"`{self._text}` is no shape of a value: a key expected at {self._at}")
        key = unquote(self._text[self._at : end], errors="strict")
        self._at = end + 1
        keys[key] = self.shape(depth + 1)
