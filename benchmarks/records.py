"""The same records for both systems: about 300 bytes each, cheap to make while the clock runs."""

from __future__ import annotations

import random
from functools import cache

CLASS = "Item"
DATABASE = "bench"
RECORD_BYTES = 300
_TEXTS = 8192


def body(number: int, salt: int = 0) -> bytes:
    """Return the encoded document of a record; another salt, another content of the same size."""
    head = b'{"@class":"%s","number":%d,"text":"' % (CLASS.encode(), number)
    text = _texts()[(number + 4099 * salt) % _TEXTS]
    return head + text[: RECORD_BYTES - len(head) - 2] + b'"}'


def key(number: int) -> bytes:
    return b"bench/%012d" % number


@cache
def _texts() -> list[bytes]:
    # Words and not noise: snapshots compress what people store, and both systems get the same.
    chosen = random.Random(20261123)
    return [" ".join(chosen.choices(_WORDS.split(), k=60)).encode() for _ in range(_TEXTS)]


_WORDS = (
    "alder amber anchor autumn barley basin beacon birch bramble bridge canyon cedar chalk cinder clover copper coral "
    "cotton crater current delta dune ember fathom fennel ferry flint forest garnet glacier granite gravel grove "
    "harbor hazel heather hollow indigo island ivory juniper lagoon lantern larch linen maple marble marsh meadow"
)
