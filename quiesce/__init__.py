"""Quiesce: a replicated record store that backs itself up while it serves.

`AsyncClient` and `Client` reach the records of a cluster; `quiesce.records` makes and reads them; every error is a
`quiesce.QuiesceError` of `quiesce.errors`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quiesce.client import (
        AsyncClient,
        Backups,
        BlockingBackups,
        BlockingDrills,
        BlockingPolicies,
        Client,
        Drills,
        Policies,
    )
    from quiesce.errors import QuiesceError
    from quiesce.records import RID, Document, Record

__all__ = [
    "RID",
    "AsyncClient",
    "Backups",
    "BlockingBackups",
    "BlockingDrills",
    "BlockingPolicies",
    "Client",
    "Document",
    "Drills",
    "Policies",
    "QuiesceError",
    "Record",
    "__version__",
]

# Imported when first used: the command and the daemons' workers start without gRPC's 200 ms.
_HOMES = {
    "AsyncClient": "quiesce.client",
    "Backups": "quiesce.client",
    "BlockingBackups": "quiesce.client",
    "BlockingDrills": "quiesce.client",
    "BlockingPolicies": "quiesce.client",
    "Client": "quiesce.client",
    "Document": "quiesce.records",
    "Drills": "quiesce.client",
    "Policies": "quiesce.client",
    "QuiesceError": "quiesce.errors",
    "RID": "quiesce.records",
    "Record": "quiesce.records",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("quiesce")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
