"""The first start of a new cluster: its nodes meet before any of them takes part; docs/decisions/0017.

A node whose data directory was lost looks like one that starts for the first time. It must be told from that, for it
has forgotten what it acknowledged and for whom it voted.
"""

from nodes.founding.meeting import Meeting, begin_meeting, check_meeting, is_founding

__all__ = ["Meeting", "begin_meeting", "check_meeting", "is_founding"]
