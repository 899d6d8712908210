"""What the daemons have in common before they serve: configuration, command line, logs."""
