"""Measurements beside etcd; `python -m benchmarks --help`."""

import os

# What runs here starts processes: gRPC would wait for its threads to be idle before each, up to a minute.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
