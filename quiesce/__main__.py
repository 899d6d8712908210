"""`python -m quiesce` is the `quiesce` command."""

from quiesce.cli.main import main

main()
