"""What clients did, and when: the history that is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class Operation:
    """One operation on one key. Times are of one clock; an operation that returns at the time another is invoked is
    taken to overlap it.

    An operation that certainly was not applied has no place in a history. One of which nobody knows has no return: it
    may take effect at any time after its invocation, or never.
    """

    process: str
    key: str
    kind: str
    invoked: int
    argument: Any = None
    result: Any = None
    returned: int | None = None

    @property
    def unknown(self) -> bool:
        return self.returned is None

    @property
    def changed_nothing(self) -> bool:
        """Whether it reads, or was refused."""
        refused = self.result is False or (isinstance(self.result, tuple) and self.result[0] is False)
        return self.kind in {"read", "lookup"} or refused

    def __str__(self) -> str:
        until = "       ?" if self.returned is None else f"{self.returned / 1e9:8.3f}"
        answer = "unknown" if self.unknown else repr(self.result)
        times = f"{self.invoked / 1e9:8.3f}..{until} s"
        return f"{times}  {self.process:<12} {self.key}  {self.kind}({self.argument!r}) -> {answer}"
