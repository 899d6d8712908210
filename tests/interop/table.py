"""The page docs/interop.md, from what a run found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.interop.limits import LIMITS
from tests.interop.passage import Passage

_HEAD = """\
# Interoperability with OrientDB

Written by `make interop-table` with OrientDB {engine}; `make interop` checks the same, and fails where something is not
explained. Of each file: Quiesce imports it into a cluster of three and exports it; OrientDB imports that with
`-preserveRids=true` and exports it; Quiesce imports that, too, and exports it again. Every step is compared record by
record, field by field with its type, class by class, index by index.

* **Quiesce**: differences between the file, the database in Quiesce and Quiesce's own export.
* **OrientDB changed**: records in which something other than the version is another in OrientDB's export, or that only
  one of the two has.
* **by its limits**: each such difference, also in classes and indexes, by the rule that explains it; see below.
* **Not explained**: what no rule explains.
* **Back**: differences between OrientDB's export, the database in Quiesce and Quiesce's own export.

"""


def page(passages: Iterable[Passage], engine: str) -> str:
    """Return the page for the passages of files."""
    passages = list(passages)
    lines = [
        "| file | engine | exporter | records | Quiesce | same in OrientDB | OrientDB's limits | not explained | back |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    lines += [_row(one) for one in passages]
    total: Counter[str] = sum((one.limits for one in passages), Counter())
    limits = ["| limit | times | what OrientDB does |", "|---|---|---|"]
    limits += [f"| {one.name} | {total[one.name]:,} | {one.says} |" for one in LIMITS if total[one.name]]
    text = [_HEAD.format(engine=engine), *_lines(lines), "\n## OrientDB's limits\n\n", *_lines(limits)]
    return "".join(text)


def _lines(lines: list[str]) -> Iterable[str]:
    return (f"{line}\n" for line in lines)


def _row(one: Passage) -> str:
    limits = ", ".join(f"{name} {count:,}" for name, count in sorted(one.limits.items()) if name != "versions")
    cells = [
        f"`{one.name}`",
        one.engine or "–",
        str(one.exporter),
        f"{one.records:,}",
        str(len(one.changed_by_quiesce)),
        f"{len(one.changed):,}" if not one.refused else "refused",
        limits or "–",
        str(one.unexplained_count),
        str(len(one.changed_on_the_way_back)),
    ]
    return f"| {' | '.join(cells)} |"
