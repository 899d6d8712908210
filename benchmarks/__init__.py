"""Measurements beside etcd; `python -m benchmarks --help`."""
