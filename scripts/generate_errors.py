"""Writes docs/errors.md from quiesce/errors.py; with --check, says whether what is checked in is fresh."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from quiesce.errors import QuiesceError, all_errors  # noqa: E402

TARGET = ROOT / "docs" / "errors.md"

HEAD = """\
<!-- Written by `make proto` from quiesce/errors.py. Change it there. -->
# Errors

Every error that Quiesce reports, by the exit code with which the `quiesce` command ends.

Over gRPC an error arrives with the status below and a `google.rpc.ErrorInfo` whose `domain` is `quiesce`, whose
`reason` is in the table and whose `metadata` holds the fields that the message shows in braces. The client library
raises the class of that name from `quiesce.errors`. With `--output json` the command prints reason, message and
fields.

*Retried* means: nothing of the request has happened, and it may succeed on another node or later. The client library
does so by itself until the deadline; a client of your own may do the same.

Exit code 0 is success; 2 is a wrong command line; 130 is Ctrl-C.
"""

GROUPS = (
    (range(1, 10), "Unexpected"),
    (range(10, 20), "Reaching a cluster"),
    (range(20, 40), "Data"),
    (range(40, 60), "Rotation, snapshots and repositories"),
    (range(60, 70), "Files in OrientDB's format"),
    (range(70, 90), "A node's own disk and start"),
    (range(90, 97), "Policies and retention"),
    (range(97, 99), "Attestation"),
    (range(99, 102), "Drills"),
    (range(102, 103), "Probes"),
    (range(103, 110), "Coordinators"),
    (range(110, 120), "Merging and transfers"),
    (range(120, 125), "Exports"),
    (range(125, 130), "Comparing exports"),
    (range(131, 140), "Statements of the console"),
)


def row(error: type[QuiesceError]) -> str:
    message = error.template().replace("|", "\\|")
    retried = "yes" if error.retryable else ""
    cells = (error.exit_code, f"`{error.__name__}`", f"`{error.reason()}`", error.status.name, retried, message)
    return "| " + " | ".join(map(str, cells)) + " |"


def render() -> str:
    parts = [HEAD]
    for codes, title in GROUPS:
        rows = [row(error) for error in all_errors() if error.exit_code in codes]
        parts.append(
            f"## {title}\n\n"
            "| exit code | class | reason | gRPC status | retried | message |\n"
            "|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    return "\n".join(parts)


def main() -> int:
    fresh = render()
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(fresh)
        return 0
    if not TARGET.exists() or TARGET.read_text() != fresh:
        print("docs/errors.md is stale; run `make proto`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
