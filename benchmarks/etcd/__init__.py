"""The peer that is measured beside Quiesce."""
