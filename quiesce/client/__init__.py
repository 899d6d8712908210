"""The client library: records and databases of a cluster, its nodes, and its coordinator."""

from quiesce.client.admin import Admin
from quiesce.client.answers import Found, Lookup, Matches
from quiesce.client.backups import Backups
from quiesce.client.blocking import (
    BlockingAdmin,
    BlockingBackups,
    BlockingDrills,
    BlockingPolicies,
    BlockingRetention,
    Client,
)
from quiesce.client.client import AsyncClient
from quiesce.client.drills import Drills
from quiesce.client.policies import Policies
from quiesce.client.retention import Retention
from quiesce.client.transfers import Transfers

__all__ = [
    "Admin",
    "AsyncClient",
    "Backups",
    "BlockingAdmin",
    "BlockingBackups",
    "BlockingDrills",
    "BlockingPolicies",
    "BlockingRetention",
    "Client",
    "Drills",
    "Found",
    "Lookup",
    "Matches",
    "Policies",
    "Retention",
    "Transfers",
]
