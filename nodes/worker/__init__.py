"""The snapshot worker: `python -m nodes.worker` turns a store checkpoint into a snapshot in a repository.

A process of its own, so that the daemon's event loop and consensus never feel it; see docs/formats/snapshot.md.
"""
