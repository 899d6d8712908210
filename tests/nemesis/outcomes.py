"""What a failed call means to the history."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from quiesce.client.attempts import ambiguous
from quiesce.errors import DeadlineExceeded, OutcomeUnknown, QuiesceError

T = TypeVar("T")


class Failed(Exception):
    """It has not taken effect and never will."""


class Unknown(Exception):
    """It may have taken effect, or may yet."""


async def by_client(call: Awaitable[T]) -> T:
    """Wait for a call of the client library, and take it at its word: what it does not call unknown was not applied.

    Raises:
        Failed, Unknown: it was not answered.
        QuiesceError: it was, with a refusal.
    """
    try:
        return await call
    except (OutcomeUnknown, DeadlineExceeded) as error:
        raise Unknown(error.message()) from None
    except QuiesceError as error:
        raise _failed(error) from None


async def by_hand(call: Awaitable[T]) -> T:
    """Wait for a call to one node; raises as `by_client`."""
    try:
        return await call
    except QuiesceError as error:
        if ambiguous(error):
            raise Unknown(error.message()) from None
        raise _failed(error) from None


def _failed(error: QuiesceError) -> Exception:
    return Failed(error.message()) if error.retryable else error
