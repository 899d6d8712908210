"""Which of several coordinators runs the jobs: the one that holds the lease `jobs` in the cluster's own database."""

from coordinator.leadership.leader import Leadership
from coordinator.leadership.leading import run_while_leading
from coordinator.leadership.lease import JobLease

__all__ = ["JobLease", "Leadership", "run_while_leading"]
