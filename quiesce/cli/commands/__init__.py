"""The commands, one module each; every one holds its click command as `command`."""
