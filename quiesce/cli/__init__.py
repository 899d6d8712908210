"""The `quiesce` command."""
