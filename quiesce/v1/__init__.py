"""Messages and services of the package quiesce.v1, generated from proto/."""
