"""The rotation lease: who is out of rotation, for whom, and until when in log time. Pure."""

from __future__ import annotations

import datetime as dt

from quiesce.errors import InvalidRequest, LeaseLost, RotationHeld
from quiesce.v1.node_pb2 import DrainRequest, RenewDrainRequest, RotationLease

MAX_TTL_MS = 24 * 3_600_000


def granted(held: RotationLease | None, request: DrainRequest, *, epoch: int, now_ms: int) -> RotationLease:
    """Return the lease that a request gets.

    Raises:
        RotationHeld: another one is held.
        InvalidRequest: it names no node, or its time is none or over a day.
    """
    if held is not None:
        raise RotationHeld(node_id=held.node_id, owner=held.owner, reason=held.reason, expires=_moment(held.expires_ms))
    if not request.node_id:
        raise InvalidRequest(detail="a lease needs a node")
    return RotationLease(
        node_id=request.node_id,
        owner=request.owner,
        reason=request.reason,
        acquired_ms=now_ms,
        expires_ms=now_ms + _ttl(request.ttl_ms),
        epoch=epoch,
        fence=epoch,
    )


def renewed(held: RotationLease | None, request: RenewDrainRequest, *, index: int, now_ms: int) -> RotationLease:
    """Return the lease with its new end; where it is taken over, for its new holder, who gets a fence of his own.

    Raises:
        LeaseLost: the lease of that epoch is not held any more, or somebody else has taken it over.
        InvalidRequest: its time is none or over a day; or it is to be taken over and moved at once.
    """
    if request.take_over_as and request.move_to:
        raise InvalidRequest(detail="a lease is taken over, or moved, one after the other")
    lease = RotationLease()
    lease.CopyFrom(of_epoch(held, request.epoch))
    if request.take_over_as:
        # The entry's index is the fence: of two that take over in one entry it would be the same.
        if lease.fence == index:
            raise LeaseLost(epoch=lease.epoch)
        lease.owner, lease.fence = request.take_over_as, index
    else:
        check_fence(lease, request.fence)
    lease.node_id = request.move_to or lease.node_id
    lease.expires_ms = now_ms + _ttl(request.ttl_ms)
    return lease


def of_epoch(held: RotationLease | None, epoch: int) -> RotationLease:
    """Return the lease that is held, if it is of an epoch.

    Raises:
        LeaseLost: it is not.
    """
    if held is None or held.epoch != epoch:
        raise LeaseLost(epoch=epoch)
    return held


def check_fence(held: RotationLease, fence: int) -> RotationLease:
    """Return the lease, if `fence` is its present holder's; 0 is that of who acquired it.

    Raises:
        LeaseLost: somebody else has taken it over.
    """
    if (fence or held.epoch) != (held.fence or held.epoch):
        raise LeaseLost(epoch=held.epoch)
    return held


def expired(held: RotationLease | None, now_ms: int) -> bool:
    """Return whether a lease has come to its end."""
    return held is not None and now_ms >= held.expires_ms


def _ttl(ttl_ms: int) -> int:
    if not 0 < ttl_ms <= MAX_TTL_MS:
        raise InvalidRequest(detail=f"a lease of {ttl_ms} ms is not between 1 ms and one day")
    return ttl_ms


def _moment(milliseconds: int) -> str:
    # By addition: fromtimestamp refuses what the clock of another node may have said.
    try:
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms"
    return moment.isoformat(timespec="seconds")
