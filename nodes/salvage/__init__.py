"""Makes the one node that is left of a lost majority the first of a new cluster; see docs/guide/disaster.md."""

from nodes.salvage.salvage import SalvageReport, salvage
from nodes.salvage.survivor import Survivor, identity_of, read_survivor

__all__ = ["SalvageReport", "Survivor", "identity_of", "read_survivor", "salvage"]
