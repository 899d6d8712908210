"""What a repository needs of a storage: whole objects, written once, under names with `/`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class ObjectInfo(NamedTuple):
    """An object's name and its length in bytes."""

    name: str
    size: int


class ObjectStore(Protocol):
    """A storage. Every method may raise RepositoryUnusable; those that read raise FileNotFoundError for no object."""

    @property
    def location(self) -> str:
        """How users call the storage; for messages."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Store a whole object durably, or nothing; return False, and change nothing, where the name is taken.

        Raises:
            RepositoryFull: there is no room for it.
        """

    def get(self, name: str) -> bytes:
        """Return a whole object."""

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Return a part of an object; shorter where the object ends."""

    def size(self, name: str) -> int:
        """Return the length of an object."""

    def list_objects(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects below `prefix/`, in no order."""

    def delete(self, name: str) -> bool:
        """Remove an object durably; return False where there is none, which then is durable too."""

    def clean(self, now_s: float) -> list[str]:
        """Remove what writers that died have left, and return what that was; `now_s` is Unix time in seconds."""
