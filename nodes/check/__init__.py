"""What a stopped node's disk holds, examined without changing a byte of it."""

from nodes.check.findings import Finding, Findings
from nodes.check.node import Examined, examine

__all__ = ["Examined", "Finding", "Findings", "examine"]
