"""The gRPC services of a node: thin, and the only part of it that clients see."""
