"""From a command of the log to its outcome. Errors become failures: every replica comes to the same one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import structlog
from google.protobuf.message import EncodeError

from nodes.statemachine import databases, membership, rotation
from nodes.statemachine.working import Working
from nodes.statemachine.writes import write
from quiesce.errors import InvalidRequest, QuiesceError, RotationHeld
from quiesce.v1.node_pb2 import Mark
from quiesce.v1.peer_pb2 import Command, Done, Failure, Membership, Outcome
from quiesce.v1.record_pb2 import WriteRequest

_LATEST_MS = (1 << 63) - 1
# No field of an error needs more; requests name things in any length, and sessions keep outcomes.
_LONGEST_FIELD = 2_000
# What a fault in this program makes of one input, the same on every replica; docs/decisions/0011. Not MemoryError,
# OSError, or what RocksDB ends with: those are of one node, and to go on would be to differ from the others.
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    msgspec.MsgspecError,
    EncodeError,
)

_log = structlog.get_logger(__name__)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command stands in the log."""

    index: int
    term: int
    # In the entry, from 0.
    number: int
    # Whether an earlier command of the entry asks for a lease.
    after_drain: bool = False


def apply_command(working: Working, command: Command, place: Place) -> Outcome:
    """Apply a command.

    A command that fails leaves no trace, and one that meets a fault of this program fails alone.

    Raises:
        DamagedStore, DiskFailed: this node cannot go on, as with anything else that is raised.
    """
    kind = command.WhichOneof("command")
    _move_clock(working, command.time_ms)
    try:
        if kind == "write":
            return _write(working, command.write, place)
        if kind == "open_session":
            # Many commands share an entry, and so its index.
            session_id = (place.index << 16) + place.number
            return Outcome(
                open_session=working.sessions.open(session_id, command.open_session.client, working.state.log_time_ms)
            )
        return _alone(working, place, lambda: _whole(working, command, kind, place))
    except QuiesceError as error:
        if error.exit_code in _OWN_DISK:
            raise
        return failure(error)


# Errors with these exit codes are about this node and not about the command.
_OWN_DISK = range(70, 90)


def failure(error: QuiesceError) -> Outcome:
    """Return an error as it travels."""
    fields = {name: text[:_LONGEST_FIELD] for name, text in error.fields.items()}
    return Outcome(failure=Failure(reason=error.reason(), fields=fields))


def _alone(working: Working, place: Place, evaluate: Callable[[], _Answer]) -> _Answer:
    """Evaluate a command, or the part of it that has not touched the state yet.

    Raises:
        QuiesceError: the command's own, or in place of a fault of this program.
    """
    try:
        return evaluate()
    except _FAULTS as error:
        if not working.sound:
            raise
        _log.exception("command_failed_unexpectedly", index=place.index, number=place.number)
        # The type alone: a text may hold an address, or differ between versions of a library.
        raise QuiesceError(
            detail=f"the command met an unexpected {type(error).__name__}; see the nodes' logs"
        ) from error


def _whole(working: Working, command: Command, kind: str | None, place: Place) -> Outcome:
    working.begin()
    try:
        outcome = _other(working, command, kind, place)
        working.end()
    except Exception:
        if working.sound:
            working.roll_back()
        raise
    return outcome


def _write(working: Working, request: WriteRequest, place: Place) -> Outcome:
    if request.session_id:
        earlier = working.sessions.earlier(request)
        if earlier is not None:
            return earlier
    try:
        schema, draft = working.database(request.database), working.pending.draft()
        outcome = Outcome(write=_alone(working, place, lambda: write(draft, schema, request, place.index)))
    except QuiesceError as error:
        if error.exit_code in _OWN_DISK:
            raise
        outcome = failure(error)
    if request.session_id:
        working.sessions.keep(request, outcome, working.state.log_time_ms)
    return outcome


def _other(working: Working, command: Command, kind: str | None, place: Place) -> Outcome:
    index = place.index
    if kind == "advance_clock":
        return Outcome(done=Done())
    if kind == "create_database":
        return Outcome(database=databases.create(working, command.create_database, index))
    if kind == "drop_database":
        databases.drop(working, command.drop_database, place.number)
        return Outcome(done=Done())
    if kind == "alter_schema":
        return Outcome(database=databases.alter(working, command.alter_schema, index, place.number))
    if kind == "publish_database":
        return Outcome(database=databases.publish(working, command.publish_database, index))
    if kind in ("drain", "renew_drain", "undrain", "checkpoint"):
        return _rotation(working, command, kind, place)
    if kind in ("change_membership", "adopt_membership", "change_addresses"):
        return Outcome(membership=_members(working, command, kind))
    raise InvalidRequest(detail="the command is empty")


def _rotation(working: Working, command: Command, kind: str, place: Place) -> Outcome:
    state, index = working.state, place.index
    now = state.log_time_ms
    if kind == "drain":
        if place.after_drain:
            # The entry's index is the epoch: a second lease could not be told from one that was given back meanwhile.
            drain = command.drain
            raise RotationHeld(node_id=drain.node_id, owner="another", reason="at the same moment", expires="now")
        _check_voter(state.membership, command.drain.node_id)
        lease = rotation.granted(state.lease, command.drain, epoch=index, now_ms=now)
        working.set_lease(lease)
        return Outcome(lease=lease)
    if kind == "renew_drain":
        if command.renew_drain.move_to:
            _check_voter(state.membership, command.renew_drain.move_to)
        lease = rotation.renewed(state.lease, command.renew_drain, index=index, now_ms=now)
        working.set_lease(lease)
        return Outcome(lease=lease)
    if kind == "undrain":
        if state.lease is not None and state.lease.epoch == command.undrain.epoch:
            rotation.check_fence(state.lease, command.undrain.fence)
            working.set_lease(None)
        return Outcome(done=Done())
    lease = rotation.of_epoch(state.lease, command.checkpoint.epoch)
    rotation.check_fence(lease, command.checkpoint.fence)
    return Outcome(mark=Mark(term=place.term, index=index, time_ms=now, epoch=lease.epoch))


def _check_voter(held: Membership | None, node_id: int) -> None:
    # It may have been removed after the leader looked.
    if held is not None and node_id not in membership.voters(held):
        raise membership.unknown_node(held, node_id)


def _members(working: Working, command: Command, kind: str) -> Membership:
    held, lease = working.state.membership, working.state.lease
    if kind == "adopt_membership":
        after = membership.adopted(held, command.adopt_membership)
    elif kind == "change_addresses":
        after = membership.readdressed(held, command.change_addresses)
    else:
        after = membership.changed(held, command.change_membership)
    if lease is not None and lease.node_id in after.removed:
        # Nobody is out of rotation any more, and the next one need not wait for the lease's end.
        working.set_lease(None)
    if after is not held:
        working.set_membership(after)
    return after


def _move_clock(working: Working, time_ms: int) -> None:
    state = working.state
    now = min(time_ms, _LATEST_MS)
    if now <= state.log_time_ms:
        return
    working.set_clock(now)
    if rotation.expired(state.lease, now):
        working.set_lease(None)
    working.sessions.expire(now)
