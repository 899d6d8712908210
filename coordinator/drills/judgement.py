"""Whether what was restored is the snapshot. Pure.

Links that lead nowhere are counted, and never a failure: OrientDB permits them, so they were in the cluster, and equal
content ids say that every record is as it was there. A link that the restore had broken would change its record.
"""

from __future__ import annotations

from collections.abc import Mapping

from coordinator.drills.model import Checked, Subject


def compare_counts(subject: Subject, found: Mapping[str, int]) -> str:
    """Return in which database there are other numbers of records than in the snapshot; empty: in none."""
    if missing := sorted(subject.records.keys() - found.keys()):
        return f"database {missing[0]} is not there"
    if foreign := sorted(found.keys() - subject.records.keys()):
        return f"there is a database {foreign[0]}, which the snapshot does not have"
    for name, records in subject.records.items():
        if found[name] != records:
            return f"database {name} has {found[name]:,} records, and {records:,} in the snapshot"
    return ""


def compare_check(subject: Subject, checked: Checked) -> str:
    """Return what the examination has found; empty: nothing."""
    if checked.findings:
        more = f", and {checked.findings - 1} more" if checked.findings > 1 else ""
        return f"{checked.finding}{more}"
    if checked.content_id != subject.content_id:
        return f"the content id is {checked.content_id}, and {subject.content_id} in the snapshot"
    return compare_counts(subject, checked.records)
