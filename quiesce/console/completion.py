"""What may come next: the words that the grammar allows at a place, and the names that the database has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from lark.exceptions import UnexpectedInput
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from quiesce.console.scripts import statements
from quiesce.sql.parsing import parser

_WORD = re.compile(r"[\w.$`@:]*\Z")
_NAMES = frozenset(("NAME", "CLASS_REF", "CLUSTER_REF", "INDEX_REF"))
_WORDS = {
    "WORD_COMPARATOR": ["LIKE", "CONTAINS", "CONTAINSKEY", "CONTAINSVALUE", "CONTAINSALL", "CONTAINSANY", "MATCHES", "INSTANCEOF"],
    "LISTED": ["DATABASES", "CLASSES", "CLUSTERS", "INDEXES", "PROPERTIES"],
    "ASCENDING": ["ASC"],
    "DESCENDING": ["DESC"],
    "BY_KEY": ["KEY"],
    "BY_VALUE": ["VALUE"],
    "ATTRIBUTE": ["@rid", "@class", "@version"],
}  # fmt: skip


def next_words(text: str) -> tuple[list[str], bool]:
    """Return the words that may follow the beginning of a statement, and whether a name may."""
    interactive = parser().parse_interactive(text)
    try:
        for _ in interactive.iter_parse():
            pass
    except UnexpectedInput:
        return [], False
    allowed = interactive.accepts()
    words: list[str] = []
    for name in sorted(allowed):
        if name in _WORDS:
            words += _WORDS[name]
        elif name.isalpha() and name not in _NAMES | {"RID", "INTEGER", "DECIMAL", "STRING", "QUOTED", "REST", "SIGN"}:
            words.append(name)
    known = {terminal.name: str(terminal.pattern.value) for terminal in parser().terminals}
    keywords = [word for word in words if word in _literal_words(known) or word in sum(_WORDS.values(), [])]
    return keywords, not _NAMES.isdisjoint(allowed)


def _literal_words(terminals: dict[str, str]) -> frozenset[str]:
    return frozenset(name for name, value in terminals.items() if value.upper() == name)


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
