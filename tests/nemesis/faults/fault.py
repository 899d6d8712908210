"""What every fault does."""

from __future__ import annotations

from random import Random

from tests.nemesis.field import Field


class Fault:
    """One fault: it begins, is seen to be in force, and is healed. Each is used once."""

    async def begin(self, field: Field, rng: Random) -> str:
        """Begin, and return what it does, for the log."""
        raise NotImplementedError

    async def confirm(self, field: Field, rng: Random, *, alone: bool) -> None:
        """Wait until it is in force; of what it does to leadership only where no other fault is there.

        Raises:
            NotInForce: it is not.
        """

    async def heal(self, field: Field) -> None:
        """Undo it."""

    async def finish(self, field: Field) -> None:
        """Wait, when all is healed, for what goes on; that it never ends is a violation."""
