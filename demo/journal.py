"""What the load saw: every request's fate, and every write that was acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import msgspec


class Request(msgspec.Struct, frozen=True, tag="r", array_like=True):
    """One request: its kind, when it was due (Unix seconds), how long after that it ended, its error if it failed."""

    kind: str
    due: float
    latency: float
    error: str


class Acknowledged(msgspec.Struct, frozen=True, tag="a", array_like=True):
    """One record of an acknowledged write: the write's log index, and the record as it left it; no body: removed."""

    index: int
    cluster: int
    position: int
    version: int
    body: bytes | None


class Journal:
    """A file with one line each."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._encoder = msgspec.json.Encoder()

    def request(self, request: Request) -> None:
        self._file.write(self._encoder.encode(request) + b"\n")

    def acknowledged(self, acknowledged: Acknowledged) -> None:
        self._file.write(self._encoder.encode(acknowledged) + b"\n")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_journal(path: Path) -> Iterator[Request | Acknowledged]:
    """Yield what was written, in order."""
    decoder: msgspec.json.Decoder[Request | Acknowledged] = msgspec.json.Decoder(Request | Acknowledged)
    with path.open("rb") as file:
        for line in file:
            yield decoder.decode(line)
