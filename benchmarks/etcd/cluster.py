"""Three etcd members on loopback, with their own fsync on the same disk as Quiesce's."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from benchmarks.etcd.client import protos, services
from tests.scenarios.cluster import free_ports

INSTALL = "apt-get install etcd-server etcd-client (and, where it starts by itself: systemctl disable --now etcd)"
QUOTA_BYTES = 8 << 30


class EtcdMissing(Exception):
    """etcd or etcdctl is not installed."""


def require_etcd() -> str:
    """Return etcd's version.

    Raises:
        EtcdMissing: with the command that installs it.
    """
    for program in ("etcd", "etcdctl"):
        if shutil.which(program) is None:
            raise EtcdMissing(f"{program} is not installed; install it with: {INSTALL}")
    first = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return first.rpartition(" ")[2]


class EtcdCluster:
    """A context manager; `snapshot` makes it a restored one, as `etcdctl snapshot restore` has it."""

    def __init__(self, directory: Path, *, snapshot: Path | None = None) -> None:
        ports = free_ports(6)
        self._directory = directory
        self._snapshot = snapshot
        self._client_ports, self._peer_ports = ports[:3], ports[3:]
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def addresses(self) -> Sequence[str]:
        return [f"127.0.0.1:{port}" for port in self._client_ports]

    @property
    def pids(self) -> Sequence[int]:
        return [process.pid for process in self._processes]

    def _initial(self) -> str:
        return ",".join(f"m{n}=http://127.0.0.1:{port}" for n, port in enumerate(self._peer_ports))

    def _identity(self, member: int) -> list[str]:
        return [
            f"--name=m{member}",
            f"--data-dir={self._directory / f'm{member}'}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{self._peer_ports[member]}",
            f"--initial-cluster={self._initial()}",
            "--initial-cluster-token=quiesce-benchmark",
        ]

    def _restore(self, member: int) -> None:
        subprocess.run(
            ["etcdctl", "snapshot", "restore", str(self._snapshot), *self._identity(member)],
            check=True, capture_output=True, timeout=300, env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/usr/local/bin"},
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._snapshot is not None:
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(self._restore, range(3)))
        try:
            for member, port in enumerate(self._client_ports):
                with (self._directory / f"m{member}.log").open("ab") as log:
                    self._processes.append(
                        subprocess.Popen(
                            [
                                "etcd", *self._identity(member), "--log-level=error", "--initial-cluster-state=new",
                                f"--listen-peer-urls=http://127.0.0.1:{self._peer_ports[member]}",
                                f"--listen-client-urls=http://127.0.0.1:{port}",
                                f"--advertise-client-urls=http://127.0.0.1:{port}",
                                f"--quota-backend-bytes={QUOTA_BYTES}",
                            ],
                            stdout=log, stderr=subprocess.STDOUT,
                        )
                    )  # fmt: skip
            self.leader_address(timeout_s=60)
        except BaseException:
            self._stop()
            raise
        return self

    def leader_address(self, *, timeout_s: float = 10) -> str:
        """Return the client address of the leader; wait for one, and for every member to know it."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = []
            for address in self.addresses:
                with grpc.insecure_channel(address) as channel:
                    try:
                        status = services.MaintenanceStub(channel).Status(protos.StatusRequest(), timeout=2)
                    except grpc.RpcError:
                        break
                    found.append((status.header.member_id, status.leader, address))
            leaders = {leader for _, leader, _ in found}
            if len(found) == 3 and len(leaders) == 1 and leaders != {0}:
                return next(address for member, leader, address in found if member == leader)
            time.sleep(0.05)
        raise TimeoutError(f"etcd has no leader within {timeout_s:g} s; see {self._directory}/m*.log")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
