"""Logs of a node in files, for the tests of it."""

from pathlib import Path

from nodes.consensus.log import DurableLog
from nodes.consensus.record import HardState, StoredEntry
from nodes.consensus.recovery import RecoveredLog, recover_log


def entry(index: int, term: int = 1, size: int = 20) -> StoredEntry:
    return StoredEntry(index, term, bytes([index % 256]) * size)


def write(log: DurableLog, first: int, last: int, term: int = 1, size: int = 20) -> None:
    for index in range(first, last + 1):
        log.append(HardState(term, 1, index - 1), [entry(index, term, size)])


def recover(directory: Path, **options) -> RecoveredLog:
    recovered = recover_log(directory, **options)
    recovered.log.close()
    return recovered
