"""The client library: records and databases of a cluster, its nodes, and its coordinator."""

from quiesce.client.admin import Admin
from quiesce.client.backups import Backups
from quiesce.client.blocking import BlockingAdmin, BlockingBackups, Client
from quiesce.client.client import AsyncClient, Matches

__all__ = ["Admin", "AsyncClient", "Backups", "BlockingAdmin", "BlockingBackups", "Client", "Matches"]
