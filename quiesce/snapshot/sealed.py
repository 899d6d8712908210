"""JSON files that notice a change of any of their bytes. Format: docs/formats/repository.md, "Sealed JSON"."""

from __future__ import annotations

import json
from typing import Any

from blake3 import blake3

from quiesce.snapshot.malformed import MalformedObject

_PREFIX = b'{"checksum":"'
_DIGITS = 64
_ZEROS = b"0" * _DIGITS


def seal(document: dict[str, Any]) -> bytes:
    """Return `document` as JSON text whose first key, `checksum`, covers every byte of it."""
    text = json.dumps({"checksum": _ZEROS.decode(), **document}, indent=1, separators=(",", ":")).encode() + b"\n"
    # The checksum stands right behind the brace, whatever the indentation of the rest.
    text = b"{" + text[1:].lstrip()
    checksum = blake3(text).hexdigest().encode()
    return _PREFIX + checksum + text[len(_PREFIX) + _DIGITS :]


def unseal(data: bytes) -> dict[str, Any]:
    """Return the document, without its checksum.

    Raises:
        MalformedObject: the checksum does not fit, or it is not a JSON object.
    """
    start, end = len(_PREFIX), len(_PREFIX) + _DIGITS
    if data[:start] != _PREFIX or len(data) < end:
        raise MalformedObject("it does not begin with a checksum")
    if blake3(_PREFIX + _ZEROS + data[end:]).hexdigest().encode() != data[start:end]:
        raise MalformedObject("its bytes do not fit its checksum")
    try:
        document = json.loads(data)
    except ValueError as error:
        raise MalformedObject(f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedObject("it is not a JSON object")
    document.pop("checksum")
    return document
