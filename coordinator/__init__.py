"""The coordinator daemon: takes one replica out of rotation, has it backed up, and publishes the snapshot."""
