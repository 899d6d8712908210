"""The end of a process that can no longer be sure of what it holds."""

from __future__ import annotations

import os
import sys
import traceback

from quiesce.errors import QuiesceError


def end_process(error: BaseException) -> None:
    """Print `error` and end the process at once, with the error's exit code.

    Nothing is flushed or closed on the way: what a failed fsync left behind must not be mistaken for durable.
    """
    if isinstance(error, QuiesceError):
        text, code = f"quiesce: {error}\n", error.exit_code
    else:
        text, code = "".join(traceback.format_exception(error)), QuiesceError.exit_code
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    finally:
        os._exit(code)
