"""Drills: a snapshot is restored into a throw-away cluster of one, checked, and so proven."""

from coordinator.drills.drills import Drills, RunningDrill
from coordinator.drills.model import Deadlines, Outcome, Request
from coordinator.drills.report import Report
from coordinator.drills.scratch import Scratch, default_scratch
from coordinator.drills.throwaway import ThrowawayCluster

__all__ = [
    "Deadlines",
    "Drills",
    "Outcome",
    "Report",
    "Request",
    "RunningDrill",
    "Scratch",
    "ThrowawayCluster",
    "default_scratch",
]
