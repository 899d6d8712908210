"""The directory of a cluster on one machine.

`cluster.json` says what it is; `node-<id>/` hold the nodes' data, `logs/` what the processes write, `repository/` the
snapshots unless they go elsewhere. Made by `quiesce up` and by `quiesce restore`.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from quiesce.client.addresses import split_addresses
from quiesce.errors import DirectoryInUse, DirectoryNotEmpty, FileUnusable, QuiesceError
from quiesce.rpc.address import check_free

CLUSTER_FILE = "cluster.json"
LOCK_FILE = "up.lock"
# What a start that died early may have left.
_OURS = frozenset((LOCK_FILE, "cluster.part"))


@dataclass(frozen=True, slots=True)
class Layout:
    """What `cluster.json` says."""

    cluster_id: str
    members: Mapping[int, str]
    coordinator: str
    repository: str

    @property
    def addresses(self) -> list[str]:
        """Every address that is listened on."""
        return [*self.members.values(), self.coordinator]


def new_layout(directory: Path, *, host: str, first_port: int, nodes: int, repository: str) -> Layout:
    """Return the layout of a new cluster: the coordinator at the first port, the nodes behind it."""
    return Layout(
        cluster_id=uuid.uuid4().hex,
        members={node_id: f"{host}:{first_port + node_id}" for node_id in range(1, nodes + 1)},
        coordinator=f"{host}:{first_port}",
        repository=repository or str(directory / "repository"),
    )


def read_layout(directory: Path) -> Layout | None:
    """Return what lies in a directory; None where it is new or empty.

    Raises:
        DirectoryNotEmpty: it holds other things than a cluster.
        FileUnusable: its cluster.json is damaged.
    """
    file = directory / CLUSTER_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if directory.is_dir() and any(entry.name not in _OURS for entry in directory.iterdir()):
            raise DirectoryNotEmpty(path=directory) from None
        return None
    except OSError as error:
        raise FileUnusable(file=file, detail=error.strerror or error) from None
    try:
        found = json.loads(text)
        members = {int(node_id): str(address) for node_id, address in found["members"].items()}
        layout = Layout(str(found["cluster_id"]), members, str(found["coordinator"]), str(found["repository"]))
        split_addresses(layout.addresses)
    except (ValueError, KeyError, AttributeError, TypeError, QuiesceError) as error:
        raise FileUnusable(file=file, detail=f"it does not describe a cluster: {error}") from None
    return layout


def write_layout(directory: Path, layout: Layout) -> None:
    """Make the directory a cluster's, all at once: it is one, or is not, after a crash."""
    file = directory / CLUSTER_FILE
    part = file.with_suffix(".part")
    with part.open("w", encoding="utf-8") as stream:
        json.dump(asdict(layout), stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory for this process; the lock goes with the process, however it ends.

    Raises:
        DirectoryInUse: another process holds it.
        FileUnusable: the directory cannot be made or written.
    """
    lock = directory / LOCK_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        stream = lock.open("a")
    except OSError as error:
        raise FileUnusable(file=directory, detail=error.strerror or error) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DirectoryInUse(path=directory, lock=lock) from None
        yield


def check_addresses(layout: Layout) -> None:
    """See that all addresses can be listened on.

    Raises:
        AddressInUse: one cannot.
    """
    for address in layout.addresses:
        check_free(address)
