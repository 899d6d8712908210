"""Named points at which a process dies, or stands still, where a test wants it to; in production they do nothing.

`QUIESCE_FAILPOINT` in the environment of a process names one: `node.drained` makes it end by SIGKILL when it gets
there, as a power failure would end it; `node.drained@FILE` makes it write FILE and stand still until that is removed, a
minute at most. `tests/deaths` lists the points and kills at each.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

ENVIRONMENT = "QUIESCE_FAILPOINT"
_HELD_S = 60.0
_point, _, _file = os.environ.get(ENVIRONMENT, "").partition("@")


def reach(name: str) -> None:
    """Die or stand still here, if the environment names this point."""
    if name != _point:
        return
    if _file:
        _stand_still(Path(_file))
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def _stand_still(file: Path) -> None:
    global _point  # noqa: PLW0603 — once only: who is let go is not held again
    _point = ""
    file.touch()
    until = time.monotonic() + _HELD_S
    while file.exists() and time.monotonic() < until:
        time.sleep(0.01)
