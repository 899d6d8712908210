"""Policies in the cluster's own database `system`; each is changed only by who has seen its last state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from coordinator.journal import DATABASE, Documents, ensure_class
from coordinator.policies.documents import CLASS, from_document, to_document
from coordinator.policies.model import BackupPolicy
from quiesce import records
from quiesce.errors import (
    DuplicateKey,
    InvalidDocument,
    InvalidRequest,
    OutcomeUnknown,
    PolicyExists,
    StaleVersion,
    UnknownClass,
    UnknownDatabase,
    UnknownPolicy,
    UnknownRecord,
)
from quiesce.records import RID, Record

log = structlog.get_logger()
MOST_POLICIES = 1_000
_TRIES = 5


@dataclass(slots=True)
class Entry:
    """A policy's document: where it is, and the version that was last seen."""

    rid: RID
    version: int
    policy: BackupPolicy


class PolicyStore:
    """Reads and writes policies."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def create(self, policy: BackupPolicy) -> None:
        """Write a new policy.

        Raises:
            PolicyExists: there is one of that name.
            InvalidRequest: there are too many.
        """
        await ensure_class(self._documents, CLASS, key="name")
        known = await self.load()
        if len(known) >= MOST_POLICIES:
            raise InvalidRequest(detail=f"there are {MOST_POLICIES} policies already")
        if any(entry.policy.spec.name == policy.spec.name for entry in known):
            raise PolicyExists(policy=policy.spec.name)
        try:
            await self._documents.write(DATABASE, [records.create(to_document(policy), class_name=CLASS)])
        except DuplicateKey:
            raise PolicyExists(policy=policy.spec.name) from None

    async def load(self) -> list[Entry]:
        """Return all policies by name; a document that cannot be read is left out, and logged."""
        entries = []
        try:
            async for answer in self._documents.scan(DATABASE, class_name=CLASS):
                for message in answer.records:
                    found = Record.of(message)
                    try:
                        entries.append(Entry(found.rid, found.version, from_document(found.document())))
                    except (InvalidDocument, ValueError) as error:
                        log.warning("a policy's document cannot be read", rid=str(found.rid), error=str(error))
        except (UnknownDatabase, UnknownClass):
            return []
        return sorted(entries, key=lambda entry: entry.policy.spec.name)

    async def find(self, name: str) -> Entry:
        """Return one policy.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        for entry in await self.load():
            if entry.policy.spec.name == name:
                return entry
        raise UnknownPolicy(policy=name)

    async def advance(self, entry: Entry, policy: BackupPolicy) -> None:
        """Write a policy's new state, unless someone else has changed it.

        Raises:
            StaleVersion, UnknownRecord: someone else has changed or deleted it.
        """
        change = records.update(entry.rid, to_document(policy), expected_version=entry.version)
        try:
            version = (await self._documents.write(DATABASE, [change])).written[0].version
        except (OutcomeUnknown, StaleVersion):
            # It may have been this very write whose answer was lost.
            found = (await self._documents.get(DATABASE, [entry.rid])).get(entry.rid)
            if found is None or from_document(found.document()) != policy:
                raise
            version = found.version
        entry.version, entry.policy = version, policy

    async def change(self, name: str, change: Callable[[BackupPolicy], BackupPolicy]) -> Entry:
        """Change a policy as somebody asked for, whatever the scheduler does to it meanwhile.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        for left in reversed(range(_TRIES)):
            entry = await self.find(name)
            try:
                await self.advance(entry, change(entry.policy))
            except UnknownRecord:
                raise UnknownPolicy(policy=name) from None
            except StaleVersion:
                if not left:
                    raise
                continue
            return entry
        raise AssertionError

    async def delete(self, name: str) -> None:
        """Forget a policy.

        Raises:
            UnknownPolicy: there is none of that name.
        """
        entry = await self.find(name)
        try:
            await self._documents.write(DATABASE, [records.delete(entry.rid)])
        except UnknownRecord:
            raise UnknownPolicy(policy=name) from None
