"""What may come next: the words that the grammar allows at a place, and the names that the database has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from lark.exceptions import UnexpectedInput
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from quiesce.console.scripts import statements
from quiesce.sql.parsing import parser

_WORD = re.compile(r"[\w.$`@:]*\Z")
_NAMES = frozenset(("NAME", "CLASS_REF", "CLUSTER_REF", "INDEX_REF"))
# Words behind the names of terminals that are no words themselves.
_WORDS = {
    "WORD_COMPARATOR": [
        "LIKE", "CONTAINS", "CONTAINSKEY", "CONTAINSVALUE", "CONTAINSALL", "CONTAINSANY", "MATCHES", "INSTANCEOF",
    ],
    "LISTED": ["DATABASES", "CLASSES", "CLUSTERS", "INDEXES", "PROPERTIES"],
    "ASCENDING": ["ASC"],
    "DESCENDING": ["DESC"],
    "BY_KEY": ["KEY"],
    "BY_VALUE": ["VALUE"],
    "ATTRIBUTE": ["@rid", "@class", "@version"],
}  # fmt: skip


@cache
def _keywords() -> frozenset[str]:
    """Return the terminals that stand for the word that they are called."""
    return frozenset(one.name for one in parser().terminals if str(one.pattern.value).upper() == one.name)


def next_words(text: str) -> tuple[list[str], bool]:
    """Return the words that may follow the beginning of a statement, and whether a name may."""
    interactive = parser().parse_interactive(text)
    try:
        for _ in interactive.iter_parse():
            pass
    except UnexpectedInput:
        return [], False
    allowed: set[str] = interactive.accepts()  # type: ignore[no-untyped-call]
    words = [word for name in sorted(allowed) for word in _WORDS.get(name, [name] if name in _keywords() else [])]
    return words, not _NAMES.isdisjoint(allowed)


class StatementCompleter(Completer):
    """Completes keywords, and names of the database in use."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:  # noqa: ARG002
        """Yield what may stand at the cursor."""
        before = document.text_before_cursor
        pieces = [piece.text for piece in statements(before)]
        statement = pieces[-1] if pieces and not before.rstrip().endswith(";") else ""
        found = _WORD.search(statement if not before[-1:].isspace() else "")
        word = found[0] if found else ""
        words, names = next_words(statement[: len(statement) - len(word)])
        choices = [*words, *(sorted(set(self._names())) if names else [])]
        for choice in choices:
            if choice.lower().startswith(word.lower()):
                yield Completion(choice, start_position=-len(word))
