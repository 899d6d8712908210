"""Repositories: where snapshots lie, and how they are read, checked and added; see docs/formats/repository.md."""

from quiesce.repository.directory import DirectoryStore
from quiesce.repository.objects import ObjectInfo, ObjectStore
from quiesce.repository.reader import SegmentReader
from quiesce.repository.repository import Repository, open_repository
from quiesce.repository.verify import VerifyReport, VerifyStep, verify_snapshot

__all__ = [
    "DirectoryStore",
    "ObjectInfo",
    "ObjectStore",
    "Repository",
    "SegmentReader",
    "VerifyReport",
    "VerifyStep",
    "open_repository",
    "verify_snapshot",
]
