"""The mark on a directory whose log lacks what its node had acknowledged: no start takes it for a member's again.

Without it the node would come back under the next leader, get its entries anew as if nothing had happened, and until
then might help to elect a leader that lacks committed entries.
"""

from __future__ import annotations

import os
from pathlib import Path

from nodes.consensus.fatal import end_process
from nodes.identity import fsync_directory
from quiesce.errors import LogRolledBack
from quiesce.snapshot import MalformedObject
from quiesce.snapshot.sealed import seal, unseal

FILE_NAME = "rolled-back"


def check_not_rolled_back(directory: Path) -> None:
    """Check that a directory is not marked.

    Raises:
        LogRolledBack: it is, with what was found then.
    """
    path = directory / FILE_NAME
    if not path.exists():
        return
    try:
        fields = unseal(path.read_bytes())["fields"]
    except (OSError, MalformedObject, KeyError):
        fields = {}
    raise LogRolledBack(**fields)


def end_and_mark(directory: Path, error: BaseException) -> None:
    """End the process for `error`, with its mark on the directory where it is this one."""
    try:
        if isinstance(error, LogRolledBack):
            _mark(directory, error)
    finally:
        end_process(error)


def _mark(directory: Path, error: LogRolledBack) -> None:
    with (directory / FILE_NAME).open("wb") as file:
        file.write(seal({"fields": error.fields}))
        file.flush()
        os.fsync(file.fileno())
    fsync_directory(directory)
