"""A policy as a document of class `Policy`, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from coordinator.documents import Kind
from coordinator.policies.model import BackupPolicy
from quiesce.errors import QuiesceError


def to_document(policy: BackupPolicy) -> dict[str, Any]:
    """Return the fields of a policy's document."""
    return {"name": policy.spec.name, "policy": msgspec.json.encode(policy).decode()}


def from_document(document: Mapping[str, Any]) -> BackupPolicy:
    """Return the policy in a document; fields that a newer coordinator added are left out.

    Raises:
        ValueError: it is not one.
    """
    try:
        return msgspec.json.decode(str(document.get("policy", "")), type=BackupPolicy)
    except (msgspec.DecodeError, QuiesceError) as error:
        raise ValueError(str(error)) from error


POLICIES = Kind("Policy", key="name", encode=to_document, decode=from_document)
