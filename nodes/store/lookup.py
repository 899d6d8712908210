"""From the key of a question to the key of an entry."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import msgspec

from quiesce.errors import InvalidRequest
from quiesce.indexing.entries import IndexPlan
from quiesce.indexing.key import UnfitKey, encode_key

_decode = msgspec.json.Decoder(list, float_hook=Decimal).decode


def key_of(index: IndexPlan, text: bytes) -> bytes:
    """Return the entry key of a JSON array that has one value a field.

    Raises:
        InvalidRequest: it is not such an array, or a value does not fit its field.
    """
    try:
        values = _decode(text)
    except (ValueError, msgspec.MsgspecError, InvalidOperation, RecursionError) as error:
        raise InvalidRequest(detail=f"the key is not a JSON array: {error}") from None
    if len(values) != len(index.fields):
        raise InvalidRequest(
            detail=f"index `{index.name}` has {len(index.fields)} fields, the key {len(values)} values"
        )
    try:
        return index.prefix + encode_key(index.fields, values)
    except UnfitKey as error:
        raise InvalidRequest(detail=f"index `{index.name}`: {error}") from None
