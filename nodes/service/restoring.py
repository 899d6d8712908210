"""The services of a node that waits for a snapshot: Restore, Status, and a typed refusal of all else."""
# ruff: noqa: N802

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import structlog

from nodes.identity import Identity
from nodes.members import parse_address
from nodes.rotation.gate import Serving
from nodes.service.calls import Context
from quiesce.errors import AwaitingRestore, DirectoryInUse, InvalidConfiguration, InvalidRequest, QuiesceError
from quiesce.rpc import raise_for, typed_errors
from quiesce.v1 import node_pb2, node_pb2_grpc

_REPORT_S = 0.2
_log = structlog.get_logger("restore")
# Loads a snapshot into the directory; told to call `progress`, which raises to stop it.
Load = Callable[[Identity, node_pb2.RestoreNodeRequest, Callable[[node_pb2.RestoreProgress], None]], object]


class RestoreCancelled(Exception):
    """The caller of Restore is gone; raised in the loading thread."""


class RestoringService(node_pb2_grpc.NodeServicer):
    """Takes one snapshot at a time; `restored` is set when one is in, durably.

    Args:
        load: does the work, in a thread.
        started_ms: Unix milliseconds, for the history.
    """

    def __init__(self, *, node_id: int, address: str, data: Path, version: str, load: Load, started_ms: int) -> None:
        self.restored: asyncio.Future[Identity] = asyncio.get_running_loop().create_future()
        self._node_id = node_id
        self._address = address
        self._data = data
        self._version = version
        self._load = load
        self._started_ms = started_ms
        self._loading = False

    @typed_errors
    async def Status(self, _request: node_pb2.StatusRequest, _context: Context) -> node_pb2.NodeStatus:
        """Tell that it waits."""
        state = int(Serving.AWAITING_RESTORE)
        change = node_pb2.StateChange(state=state, at_ms=self._started_ms, reason="started to be restored")  # type: ignore[arg-type]
        return node_pb2.NodeStatus(
            node_id=self._node_id,
            address=self._address,
            role=node_pb2.NODE_ROLE_FOLLOWER,
            serving=node_pb2.SERVING_STATE_AWAITING_RESTORE,
            version=self._version,
            history=[change],
        )

    @typed_errors
    async def Restore(
        self, request: node_pb2.RestoreNodeRequest, _context: Context
    ) -> AsyncIterator[node_pb2.RestoreProgress]:
        """Load a snapshot; the last message says `done`, and then the node starts as a member of the new cluster."""
        identity = restored_identity(self._node_id, request)
        if self._loading or self.restored.done():
            raise DirectoryInUse(path=self._data, lock="another restore")
        self._loading = True
        latest = node_pb2.RestoreProgress(node_id=self._node_id)
        cancelled = threading.Event()

        def progress(report: node_pb2.RestoreProgress) -> None:
            nonlocal latest
            latest = report
            if cancelled.is_set():
                raise RestoreCancelled

        work = asyncio.ensure_future(asyncio.to_thread(self._load, identity, request, progress))
        work.add_done_callback(lambda work: self._loaded(work, identity))
        try:
            while not (await asyncio.wait([work], timeout=_REPORT_S))[0]:
                yield _report(self._node_id, latest)
            work.result()
            yield _report(self._node_id, latest, done=True)
        finally:
            cancelled.set()

    def _loaded(self, work: asyncio.Future[object], identity: Identity) -> None:
        self._loading = False
        error = None if work.cancelled() else work.exception()
        if error is not None:
            _log.warning("the snapshot was not restored", error=str(error), kind=type(error).__name__)
        elif not work.cancelled() and not self.restored.done():
            self.restored.set_result(identity)

    async def _refuse(self, _request: Any, _context: Context) -> Any:
        raise AwaitingRestore(node_id=self._node_id)

    refuse: Any = typed_errors(_refuse)
    Members = TransferLeadership = Drain = RenewDrain = Undrain = refuse
    Checkpoint = DropCheckpoint = TakeSnapshot = PrepareMark = Attest = refuse
    ClientLatency = SetWorkerRate = refuse
    AddNode = PromoteNode = RemoveNode = ChangeNodeAddress = refuse


def restored_identity(node_id: int, request: node_pb2.RestoreNodeRequest) -> Identity:
    """Return who this node will be.

    Raises:
        InvalidRequest: a part is missing, malformed, or this node is not among the members.
    """
    if not request.repository or not request.snapshot_id or not request.cluster_id:
        raise InvalidRequest(detail="it names no repository, no snapshot, or no cluster id")
    try:
        members = {member.node_id: parse_address("members", member.address) for member in request.members}
    except InvalidConfiguration as error:
        raise InvalidRequest(detail=error.fields["detail"]) from error
    if node_id not in members:
        known = ", ".join(map(str, sorted(members))) or "empty"
        raise InvalidRequest(detail=f"node {node_id} is not among the members, {known}")
    if len(members) != len(request.members) or len(set(members.values())) != len(members) or 0 in members:
        raise InvalidRequest(detail="two members have the same id or address, or one has no id")
    return Identity(node_id, request.cluster_id, members)


def _report(node_id: int, progress: node_pb2.RestoreProgress, *, done: bool = False) -> node_pb2.RestoreProgress:
    report = node_pb2.RestoreProgress()
    report.CopyFrom(progress)
    report.node_id, report.done = node_id, done
    return report


class RefuseClients(grpc.GenericRpcHandler):
    """Answers any call to the services of clients with one error."""

    def __init__(self, error: QuiesceError, services: tuple[str, ...]) -> None:
        self._error = error
        self._services = services

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the refusal for calls to the services, and None for others."""
        service = handler_call_details.method.strip("/").partition("/")[0]
        # On the wire a call of one message looks like a stream of one, so this fits every method.
        return grpc.stream_stream_rpc_method_handler(self._answer) if service in self._services else None

    async def _answer(self, _messages: Any, context: Context) -> None:
        await raise_for(context, self._error)
