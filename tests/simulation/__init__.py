"""Whole clusters in one thread, under a seeded scheduler: the product's code over simulated network, disks and clocks.

See docs/contributing.md, "Simulation".
"""
