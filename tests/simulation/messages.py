"""What a message of raft-rs says, read from its bytes: the fields of eraftpb.Message that promise something."""

from __future__ import annotations

from dataclasses import dataclass

APPEND, APPEND_RESPONSE, VOTE, VOTE_RESPONSE, SNAPSHOT, HEARTBEAT, HEARTBEAT_RESPONSE = 3, 4, 5, 6, 7, 8, 9
PRE_VOTE, PRE_VOTE_RESPONSE = 17, 18
_NAMES = {
    APPEND: "append",
    APPEND_RESPONSE: "append-response",
    VOTE: "vote",
    VOTE_RESPONSE: "vote-response",
    SNAPSHOT: "snapshot",
    HEARTBEAT: "heartbeat",
    HEARTBEAT_RESPONSE: "heartbeat-response",
    13: "transfer-leader",
    14: "timeout-now",
    15: "read-index",
    16: "read-index-response",
    PRE_VOTE: "pre-vote",
    PRE_VOTE_RESPONSE: "pre-vote-response",
}
_TYPE, _TO, _TERM, _LOG_TERM, _INDEX, _ENTRIES, _COMMIT, _REJECT = 1, 2, 4, 5, 6, 7, 8, 10


@dataclass(frozen=True, slots=True)
class RaftMessage:
    """The fields that the checks and the trace need."""

    type: int
    to: int
    term: int
    log_term: int
    index: int
    commit: int
    entries: int
    reject: bool

    def __str__(self) -> str:
        parts = [_NAMES.get(self.type, f"type {self.type}"), f"term={self.term}"]
        shown = ("log_term", "index", "commit", "entries")
        parts.extend(f"{name}={value}" for name in shown if (value := getattr(self, name)))
        return " ".join([*parts, "reject"] if self.reject else parts)


def read_message(data: bytes) -> RaftMessage:
    """Read a message; fields that do not matter here are passed over."""
    found = dict.fromkeys((_TYPE, _TO, _TERM, _LOG_TERM, _INDEX, _COMMIT, _REJECT), 0)
    at = entries = 0
    size = len(data)
    while at < size:
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        value, at = _varint(data, at)
        if wire == 2:
            at += value
            entries += field == _ENTRIES
        elif field in found:
            found[field] = value
    return RaftMessage(
        found[_TYPE], found[_TO], found[_TERM], found[_LOG_TERM], found[_INDEX], found[_COMMIT], entries,
        bool(found[_REJECT]),
    )  # fmt: skip


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
