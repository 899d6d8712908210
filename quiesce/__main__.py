"""The `quiesce` command, also as `python -m quiesce`."""

import sys


def main() -> None:
    """Run the process's arguments and end it."""
    try:
        # Imported here: Ctrl-C in the third of a second that this takes is no traceback either.
        from quiesce.cli.main import run

        code = run()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
