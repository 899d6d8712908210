"""What commands say: text, lines, JSON."""

import io
import json

import pytest

from quiesce.cli.output import Output
from quiesce.cli.units import amount, milliseconds, seconds_text, size_bytes
from quiesce.errors import UnknownDatabase


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Said:
    def __init__(self, clock: Clock, *, json: bool) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.output = Output(json=json, out=self.out, err=self.err, clock=clock)

    def json(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


def test_text(clock: Clock) -> None:
    said = Said(clock, json=False)
    said.output.table(("name", ">records"), [["a", 1], ["long", 1000]], {"x": 1})
    said.output.message("on the way")
    said.output.error(UnknownDatabase(database="d"))
    assert said.out.getvalue() == "NAME  RECORDS\na           1\nlong     1000\n"
    assert said.err.getvalue().startswith("on the way\nquiesce: There is no database `d`.")


def test_an_empty_table_has_its_head(clock: Clock) -> None:
    said = Said(clock, json=False)
    said.output.table(("name",), [], {})
    assert said.out.getvalue() == "NAME\n"


def test_json_lines(clock: Clock) -> None:
    said = Said(clock, json=True)
    said.output.message("on the way", at=3)
    said.output.result({"x": 1}, "text")
    said.output.error(UnknownDatabase(database="d"))
    assert said.json() == [{"type": "message", "text": "on the way", "at": 3}, {"type": "result", "x": 1}]
    error = json.loads(said.err.getvalue())
    assert (error["reason"], error["exit_code"], error["fields"]) == ("UNKNOWN_DATABASE", 20, {"database": "d"})


def test_progress_as_lines_is_paced_and_shows_the_end(clock: Clock) -> None:
    said = Said(clock, json=False)
    with said.output.progress("Copy", unit="records") as progress:
        for second in range(13):
            clock.now = float(second)
            progress.update(second * 100, 1300, reused=second)
    assert said.err.getvalue().splitlines() == [
        "Copy: 0 records of 1,300 records (0%), reused 0",
        "Copy: 500 records of 1,300 records (38%), at 100 records/s, 8 s left, reused 5",
        "Copy: 1,000 records of 1,300 records (77%), at 100 records/s, 3 s left, reused 10",
        "Copy: 1,200 records of 1,300 records (92%), at 100 records/s, 1 s left, reused 12",
    ]


def test_progress_without_a_total_in_bytes(clock: Clock) -> None:
    said = Said(clock, json=False)
    with said.output.progress("Copy", binary=True) as progress:
        clock.now = 2.0
        progress.update(3 << 20)
    assert said.err.getvalue() == "Copy: 3.0 MiB, at 1.5 MiB/s\n"


def test_progress_as_json(clock: Clock) -> None:
    said = Said(clock, json=True)
    with said.output.progress("Copy", total=10, unit="pages") as progress:
        progress.update(0)
        clock.now = 0.1
        progress.update(4)
        clock.now = 2.0
        progress.update(5, reused=1)
    assert [line["done"] for line in said.json()] == [0, 5]
    assert said.json()[1] == {
        "type": "progress",
        "title": "Copy",
        "done": 5,
        "total": 10,
        "unit": "pages",
        "elapsed_s": 2.0,
        "left_s": 2.0,
        "reused": 1,
    }


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_and_messages_above_it(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    output = Output(out=io.StringIO(), err=terminal, clock=clock)
    with output.progress("Copy", total=10, unit="pages") as progress:
        progress.update(10, reused=3)
        output.message("half way [not markup]")
    said = terminal.getvalue()
    assert "10/10 pages" in said
    assert "reused 3" in said
    assert "half way [not markup]" in said


@pytest.mark.parametrize(
    ("text", "value"), [("500ms", 500), ("30s", 30_000), ("10m", 600_000), ("1h30m", 5_400_000), ("1.5s", 1500)]
)
def test_durations(text: str, value: int) -> None:
    assert milliseconds(text) == value


@pytest.mark.parametrize("text", ["", "10", "10x", "m", "-5s", "1h 30m", "5sm"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        milliseconds(text)


def test_sizes_and_amounts() -> None:
    assert [size_bytes(text) for text in ("800", "50M", "64MiB", "1.5k", "2 GB")] == [
        800,
        50_000_000,
        64 << 20,
        1500,
        2_000_000_000,
    ]
    with pytest.raises(ValueError, match="not a size"):
        size_bytes("5X")
    assert [amount(5), amount(5, "B", binary=True), amount(1536, binary=True)] == ["5", "5 B", "1.5 KiB"]
    assert [seconds_text(s) for s in (5, 200, 7500)] == ["5 s", "3 min 20 s", "2 h 5 min"]
