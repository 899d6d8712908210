"""A backup job as a pure step machine: no clock, no network, no disk; see `coordinator.runner` for the effects."""

from coordinator.job.choosing import Candidate, Replica, Survey, Wish, candidates, choose
from coordinator.job.machine import begin, resume, step, wake_at
from coordinator.job.model import (
    Backup,
    Failure,
    JobEvent,
    Moment,
    Policy,
    Request,
    Step,
    Verdict,
    blames_replica,
    owner_of,
    owns,
)

__all__ = [
    "Backup",
    "Candidate",
    "Failure",
    "JobEvent",
    "Moment",
    "Policy",
    "Replica",
    "Request",
    "Step",
    "Survey",
    "Verdict",
    "Wish",
    "begin",
    "blames_replica",
    "candidates",
    "choose",
    "owner_of",
    "owns",
    "resume",
    "step",
    "wake_at",
]
