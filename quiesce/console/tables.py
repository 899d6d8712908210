"""Tables as OrientDB's console draws them."""

from __future__ import annotations

from collections.abc import Sequence

from quiesce.console.values import cell
from quiesce.sql.rows import Element, Row

_LEAST = 4


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int, footer: Sequence[str] = ()) -> str:
    """Return a table; columns whose name begins with > are set to the right.

    Args:
        columns: their names.
        rows: the cells.
        width: of a line at most; where there is more, the widest columns are cut.
        footer: cells of a last line, behind a rule.
    """
    right = [name.startswith(">") for name in columns]
    names = [name.lstrip(">") for name in columns]
    lines = [[_one_line(text) for text in row] for row in (*rows, *([footer] if footer else []))]
    widths = [max([_LEAST, len(name), *(len(line[place]) for line in lines)]) for place, name in enumerate(names)]
    _narrow(widths, width - len(names) - 1)
    rule = "+" + "+".join("-" * one for one in widths) + "+"

    def drawn(cells: Sequence[str], to_right: Sequence[bool]) -> str:
        set_cells = (
            _cut(text, one).rjust(one) if at_right else _cut(text, one).ljust(one)
            for text, one, at_right in zip(cells, widths, to_right, strict=True)
        )
        return "|" + "|".join(set_cells) + "|"

    body = [drawn(line, right) for line in lines]
    if footer:
        body[-1:] = [rule, body[-1]]
    return "\n".join([rule, drawn(names, right), rule, *body, rule])


def result_table(rows: Sequence[Row], first: int, *, width: int) -> str:
    """Return rows of a result as a table: a number, id and class where there are any, then all fields that one has."""
    records = any(isinstance(row, Element) for row in rows)
    classes = any(isinstance(row, Element) and row.class_name for row in rows)
    names = list(dict.fromkeys(name for row in rows for name, _ in row.fields()))
    head = ["#", *(["@RID"] if records else []), *(["@CLASS"] if classes else [])]
    cells = []
    for number, row in enumerate(rows, first):
        line = [str(number)]
        if records:
            line.append(str(row.rid) if isinstance(row, Element) else "")
        if classes:
            line.append(row.class_name or "" if isinstance(row, Element) else "")
        fields = dict(row.fields())
        cells.append([*line, *(cell(fields.get(name)) for name in names)])
    return table([*head, *names], cells, width=width)


def _narrow(widths: list[int], room: int) -> None:
    """Take from the widest columns until all have room, or can become no narrower."""
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda place: widths[place])
        if widths[widest] <= _LEAST:
            return
        widths[widest] -= max(1, min((widths[widest] - _LEAST) // 10, sum(widths) - room))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
