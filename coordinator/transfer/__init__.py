"""Files in OrientDB's export format from callers, and to them: spooled to disk, the work in processes of their own."""

from coordinator.transfer.service import SERVICE, TransferService
from coordinator.transfer.spool import Spool, default_spool

__all__ = ["SERVICE", "Spool", "TransferService", "default_spool"]
