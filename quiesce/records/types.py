"""OrientDB's types where Python has none of its own.

All are subclasses of the Python type they stand for and compare equal to it: they only keep, through a read and a
write, which type the record had.
"""

from __future__ import annotations

import struct
from typing import Any

from quiesce.records.rid import RID

_FLOAT = struct.Struct("<f")


class Byte(int):
    """BYTE: -128 to 127."""

    __slots__ = ()


class Short(int):
    """SHORT: 16 bits, signed."""

    __slots__ = ()


class Long(int):
    """LONG: 64 bits, signed. A plain int that needs more than 32 bits is written as LONG by itself."""

    __slots__ = ()


class Float(float):
    """FLOAT: 32 bits; the value is rounded to what 32 bits hold. A plain float is DOUBLE."""

    __slots__ = ()

    def __new__(cls, value: float | str = 0.0) -> Float:
        """Round `value` to 32 bits; OverflowError where it is too large for them."""
        return super().__new__(cls, _FLOAT.unpack(_FLOAT.pack(float(value)))[0])

    def shortest(self) -> str:
        """Return the fewest digits that give this value again in 32 bits."""
        for digits in range(6, 9):
            text = f"{float(self):.{digits}g}"
            if Float(text) == self:
                break
        else:
            text = f"{float(self):.9g}"
        return text if any(mark in text for mark in ".en") else text + ".0"


class Custom(bytes):
    """CUSTOM: a serialised Java object, which is kept and never opened."""

    __slots__ = ()


class Document(dict[str, Any]):
    """A document: a whole record, or one that is embedded in another. A plain dict inside a record is a map.

    The class, if there is one, is the value of the key `@class`.
    """

    __slots__ = ()

    @property
    def class_name(self) -> str | None:
        """The document's class."""
        return self.get("@class")


class LinkList(list[RID | None]):
    """LINKLIST: links in order. A plain list with nothing but links is written as one."""

    __slots__ = ()


class LinkBag(list[RID | None]):
    """LINKBAG: links without order of their own, duplicates allowed; the edges of a vertex are kept in them."""

    __slots__ = ()


class LinkSet(set[RID]):
    """LINKSET: each link once. A plain set with nothing but links is written as one."""

    __slots__ = ()


class LinkMap(dict[str, RID | None]):
    """LINKMAP: links by name. A plain dict with nothing but links is written as one."""

    __slots__ = ()


class EmbeddedSet(list[Any]):
    """EMBEDDEDSET whose items cannot be a Python set: they are documents or lists, or equal in Python (1 and true)."""

    __slots__ = ()
