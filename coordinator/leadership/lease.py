"""The lease of the coordinator that leads. Pure.

No two clocks are compared. Who leads writes the lease anew again and again; who waits takes it when it has seen no
change for the whole time of the lease. Who leads counts that time from before it wrote, so its own lease ends first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coordinator.documents import Kind

JOBS = "jobs"


@dataclass(frozen=True, slots=True)
class JobLease:
    """Who leads: nobody where `holder` is empty. `term` grows with each holder, `beats` with each renewal."""

    name: str
    holder: str
    address: str
    term: int
    beats: int


def _encode(lease: JobLease) -> dict[str, Any]:
    return {
        "name": lease.name,
        "holder": lease.holder,
        "address": lease.address,
        "term": lease.term,
        "beats": lease.beats,
    }


def _decode(document: Mapping[str, Any]) -> JobLease:
    return JobLease(
        str(document["name"]),
        str(document["holder"]),
        str(document["address"]),
        int(document["term"]),
        int(document["beats"]),
    )


LEASES = Kind("Lease", key="name", encode=_encode, decode=_decode)


class Watch:
    """What one who does not lead has seen of the lease; times in milliseconds of its own monotonic clock."""

    def __init__(self, holder: str, ttl_ms: int) -> None:
        self._holder = holder
        self._ttl_ms = ttl_ms
        self._seen: tuple[int, int] | None = None
        self._since = 0

    def may_take(self, lease: JobLease, now_ms: int) -> bool:
        """Take in what the lease says now; return whether it is given back, over, or this very holder's."""
        # The same name is this coordinator before its restart: no two listen on one address.
        if lease.holder in ("", self._holder):
            return True
        if (lease.term, lease.beats) != self._seen:
            self._seen, self._since = (lease.term, lease.beats), now_ms
        return now_ms - self._since >= self._ttl_ms
