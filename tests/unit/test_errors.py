"""quiesce.errors: what every class must keep."""

import re
import string
from pathlib import Path

import pytest

from quiesce.errors import QuiesceError, StaleVersion, Unavailable, all_errors, from_reason

RANGES = {
    range(1, 2),
    range(10, 20),
    range(20, 40),
    range(40, 60),
    range(60, 70),
    range(70, 90),
    range(90, 110),
    range(131, 140),
}
EVERY = pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)


def field_names(error: type[QuiesceError]) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(error.template()) if name]


def test_exit_codes_are_unique() -> None:
    codes = [error.exit_code for error in all_errors()]
    assert len(codes) == len(set(codes))


@EVERY
def test_exit_code_is_in_a_documented_range(error: type[QuiesceError]) -> None:
    assert any(error.exit_code in codes for codes in RANGES)


@EVERY
def test_message_is_whole_sentences(error: type[QuiesceError]) -> None:
    template = error.template()
    assert template[0].isupper() or template[0] in "{`"
    assert template[-1] in ".?"
    assert "  " not in template


@EVERY
def test_arrives_as_it_was_sent(error: type[QuiesceError]) -> None:
    sent = error(**{name: f"the {name}" for name in field_names(error)})
    arrived = from_reason(sent.reason(), sent.fields)
    assert type(arrived) is error
    assert arrived.fields == sent.fields
    assert str(arrived) == str(sent)
    assert not re.search(r"[{}<>]", str(arrived)), "a field was left unfilled"


def test_reason_is_the_name_in_capitals() -> None:
    assert StaleVersion.reason() == "STALE_VERSION"
    assert QuiesceError.reason() == "QUIESCE_ERROR"


def test_a_missing_field_is_shown_and_does_not_hide_the_error() -> None:
    assert "<actual>" in str(StaleVersion(rid="#9:1", expected=3))


def test_a_reason_of_a_newer_server_keeps_its_words() -> None:
    error = from_reason("MOON_IN_THE_WAY", {"phase": "full"})
    assert type(error) is QuiesceError
    assert "MOON_IN_THE_WAY" in str(error)
    assert "full" in str(error)


def test_only_what_did_not_happen_is_retryable() -> None:
    retryable = {error.__name__ for error in all_errors() if error.retryable}
    assert Unavailable.__name__ in retryable
    assert not retryable & {"DeadlineExceeded", "OutcomeUnknown", "StaleVersion", "LeaseLost", "QuiesceError"}


def test_every_error_is_in_the_table_that_people_read(project_root: Path) -> None:
    table = (project_root / "docs" / "errors.md").read_text()
    assert [error.__name__ for error in all_errors() if f"| `{error.__name__}` |" not in table] == []
