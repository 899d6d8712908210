"""How fast a backup may read: as fast as clients can bear."""

from coordinator.pacing.pacer import Pacer
from coordinator.pacing.watch import Watch

__all__ = ["Pacer", "Watch"]
