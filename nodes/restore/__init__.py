"""Restores a snapshot into new nodes, which become a new cluster; see docs/formats/snapshot.md, "Restore"."""

from nodes.restore.cluster import restore_cluster
from nodes.restore.node import RestoreReport, restore_into

__all__ = ["RestoreReport", "restore_cluster", "restore_into"]
