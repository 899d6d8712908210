"""What an examination finds: damage, and what only looks like it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from quiesce.errors import DamagedLog, DamagedStore, QuiesceError

# More are counted and not kept.
MOST = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `where` is a file, or a key of the store; `byte` where in a file."""

    # The error that a start of the node would end with, or that the damage amounts to.
    error: type[QuiesceError]
    where: str
    detail: str
    byte: int | None = None

    def text(self) -> str:
        """Return it for people."""
        place = self.where if self.byte is None else f"{self.where} at byte {self.byte}"
        return f"{place}: {self.detail}"


@dataclass(slots=True)
class Findings:
    """All that is found, in the order of its finding."""

    listed: list[Finding] = field(default_factory=list)
    # With those that are not listed.
    count: int = 0
    # Harmless: what a crash leaves, and what was not examined.
    notes: list[str] = field(default_factory=list)
    worst: type[QuiesceError] | None = None

    def add(self, where: object, detail: str, byte: int | None = None, *, log: bool = False) -> None:
        """Take one in."""
        self.count += 1
        error = DamagedLog if log else DamagedStore
        # Who has lost part of the log must not take part any more; that says more than anything else.
        self.worst = error if self.worst is None or log else self.worst
        if len(self.listed) < MOST:
            self.listed.append(Finding(error, str(where), detail, byte))

    def note(self, text: str) -> None:
        """Take in what is no damage."""
        if len(self.notes) < MOST:
            self.notes.append(text)

    @contextmanager
    def collected(self, where: Path, name: Callable[[str], str] = str) -> Iterator[None]:
        """Take in what the block ends with, if that is an error of ours; `name` corrects its text."""
        try:
            yield
        except DamagedLog as error:
            self.add(error.fields["file"], error.fields["detail"], int(error.fields["byte"]), log=True)
        except QuiesceError as error:
            path = name(error.fields.get("path", str(where)))
            self.add(path, name(error.fields.get("detail", str(error))))
