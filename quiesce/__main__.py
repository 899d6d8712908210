"""The `quiesce` command, also as `python -m quiesce`."""

import os
import sys


def main() -> None:
    """Run the process's arguments and end it."""
    # Each fork of a daemon is an exec at once. gRPC would first wait for its own threads to be idle, up to a minute,
    # and the whole daemon with it (grpc/grpc#31885; doc/fork_support.md).
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        # Imported here: Ctrl-C in the third of a second that this takes is no traceback either.
        from quiesce.cli.main import run

        code = run()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
