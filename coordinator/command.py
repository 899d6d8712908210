"""`quiesce coordinator`: runs the coordinator daemon."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from coordinator.config import KEYS, coordinator_config
from quiesce.daemon.logs import configure_logs
from quiesce.daemon.options import configured


@click.command(context_settings={"auto_envvar_prefix": "QUIESCE_COORDINATOR"})
@configured(KEYS)
def coordinator(**values: Any) -> None:
    """Run the coordinator: it takes one replica at a time out of rotation and has it backed up."""
    from coordinator.daemon import serve

    settings = coordinator_config(values)
    configure_logs(form=settings.log_format, level=settings.log_level)
    asyncio.run(serve(settings))
