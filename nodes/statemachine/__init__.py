"""The replicated state of a node: what applying the log's entries makes of the store (signatures first)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from nodes.store import Store
from quiesce.v1.node_pb2 import Mark, RotationLease
from quiesce.v1.peer_pb2 import Outcome


class Entry(Protocol):
    @property
    def index(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def data(self) -> bytes: ...


class ReplicatedState:
    store: Store
    on_lease_changed: Callable[[RotationLease | None], None]
    on_checkpoint: Callable[[int, Mark], None]

    def __init__(self, directory: Path, node_id: int) -> None: ...
    @property
    def applied(self) -> tuple[int, int]: ...
    def apply(self, entries: Sequence[Entry]) -> list[tuple[int, Outcome]]: ...
    def checkpoint(self, directory: Path) -> tuple[int, int]: ...
    def install(self, directory: Path) -> None: ...
    def durable_index(self) -> int: ...
    def close(self) -> None: ...
