"""Drills as documents of class `Drill`."""

from __future__ import annotations

from coordinator.documents import Documents
from coordinator.drills.report import DRILLS, Report
from coordinator.history import History

KEPT = 200


class DrillJournal(History[Report]):
    """Reads and writes drills."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, DRILLS)

    @property
    def kept(self) -> int:
        """See History."""
        return KEPT
