"""Policies in the cluster's own database `system`; each is changed only by who has seen its last state."""

from __future__ import annotations

from collections.abc import Callable

from coordinator.documents import Documents, DocumentStore, Entry
from coordinator.policies.documents import POLICIES
from coordinator.policies.model import BackupPolicy
from quiesce.errors import DuplicateKey, InvalidRequest, PolicyExists, StaleVersion, UnknownPolicy, UnknownRecord

MOST_POLICIES = 1_000
_TRIES = 5


class PolicyStore(DocumentStore[BackupPolicy]):
    """Reads and writes policies."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, POLICIES)

    async def add(self, policy: BackupPolicy) -> None:
        """Write a new policy.

        Raises:
            PolicyExists: there is one of that name.
            InvalidRequest: there are too many.
        """
        await self.ensure()
        if len(await self.load()) >= MOST_POLICIES:
            raise InvalidRequest(detail=f"there are {MOST_POLICIES} policies already")
        try:
            await self.create(policy)
        except DuplicateKey:
            raise PolicyExists(policy=policy.spec.name) from None

    async def by_name(self) -> list[Entry[BackupPolicy]]:
        """Return all policies in the order of their names."""
        return sorted(await self.load(), key=lambda entry: entry.value.spec.name)

    async def find(self, name: str) -> Entry[BackupPolicy]:
        """Return one policy.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        for entry in await self.load():
            if entry.value.spec.name == name:
                return entry
        raise UnknownPolicy(policy=name)

    async def change(self, name: str, change: Callable[[BackupPolicy], BackupPolicy]) -> Entry[BackupPolicy]:
        """Change a policy as somebody asked for, whatever the scheduler does to it meanwhile.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        for left in reversed(range(_TRIES)):
            entry = await self.find(name)
            try:
                await self.advance(entry, change(entry.value))
            except UnknownRecord:
                raise UnknownPolicy(policy=name) from None
            except StaleVersion:
                if not left:
                    raise
                continue
            return entry
        raise AssertionError

    async def delete(self, name: str) -> None:
        """Forget a policy, whatever it is about.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        for left in reversed(range(_TRIES)):
            try:
                await self.remove(await self.find(name))
            except UnknownRecord:
                raise UnknownPolicy(policy=name) from None
            except StaleVersion:
                if not left:
                    raise
                continue
            return
