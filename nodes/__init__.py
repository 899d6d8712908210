"""Quiesce."""
