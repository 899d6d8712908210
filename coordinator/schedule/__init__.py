"""When a policy's backups run: pure, so that two years pass in a test's second."""

from coordinator.schedule.plan import Missed, Overlap, Plan, Retry
from coordinator.schedule.timetable import Alarm, CancelRunning, Decision, Skip, Start, Timetable
from coordinator.schedule.timing import Cron, Every, Timing

__all__ = [
    "Alarm",
    "CancelRunning",
    "Cron",
    "Decision",
    "Every",
    "Missed",
    "Overlap",
    "Plan",
    "Retry",
    "Skip",
    "Start",
    "Timetable",
    "Timing",
]
