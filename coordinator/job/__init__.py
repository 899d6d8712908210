"""A backup job as a pure step machine: no clock, no network, no disk; see `coordinator.runner` for the effects."""

from coordinator.job.choosing import Choice, Replica, Survey, choose
from coordinator.job.machine import begin, step, wake_at
from coordinator.job.model import Backup, Failure, JobEvent, Moment, Policy, Request, Step, Verdict, owner_of

__all__ = [
    "Backup",
    "Choice",
    "Failure",
    "JobEvent",
    "Moment",
    "Policy",
    "Replica",
    "Request",
    "Step",
    "Survey",
    "Verdict",
    "begin",
    "choose",
    "owner_of",
    "step",
    "wake_at",
]
