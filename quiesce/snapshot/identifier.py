"""Snapshot ids: they name files, sort by time, and are typed by people."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# `latest` is a question, not a name.
LATEST = "latest"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def is_snapshot_id(text: str) -> bool:
    """Return whether `text` may name a snapshot: letters, digits, `-` and `_`, and not `latest`."""
    return text != LATEST and _ID.fullmatch(text) is not None


def new_snapshot_id(time_ms: int, random_bits: int) -> str:
    """Return an id such as `20261123T104502Z-3fa9c1`, from Unix milliseconds and at least 24 random bits."""
    moment = datetime.fromtimestamp(time_ms / 1000, tz=UTC)
    return f"{moment:%Y%m%dT%H%M%SZ}-{random_bits & 0xFFFFFF:06x}"
