"""Backups on a schedule: what was asked for, what became of it, and who starts the runs."""

from coordinator.policies.model import BackupPolicy, Spec
from coordinator.policies.scheduler import Scheduler
from coordinator.policies.store import PolicyStore

__all__ = ["BackupPolicy", "PolicyStore", "Scheduler", "Spec"]
