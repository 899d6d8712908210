"""The advance of long work as a bar on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from quiesce.cli.units import amount


class _Amount(ProgressColumn):
    """Done, total and rate."""

    def __init__(self, unit: str, binary: bool) -> None:
        super().__init__()
        self._unit = unit
        self._binary = binary

    def render(self, task: Task) -> Text:
        text = amount(task.completed, "", binary=self._binary)
        if task.total:
            text += f"/{amount(task.total, '', binary=self._binary)}"
        if self._unit:
            text += f" {self._unit}"
        if (speed := task.finished_speed or task.speed) is not None:
            text += f", {amount(speed, '', binary=self._binary)}/s"
        return Text(text)


class BarProgress:
    """One bar."""

    def __init__(self, title: str, total: int | None, unit: str, binary: bool, console: Console) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            _Amount(unit, binary),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[facts]}"),
            console=console,
        )
        self._task = self._bars.add_task(title, total=total, facts="")
        self._facts: dict[str, object] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def update(self, done: int, total: int | None = None, **facts: object) -> None:
        """See quiesce.cli.progress.Progress."""
        self._facts.update(facts)
        shown = "  ".join(f"{name} {value}" for name, value in self._facts.items())
        self._bars.update(self._task, completed=done, total=total, facts=shown)
