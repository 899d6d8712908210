"""The record store of a node: RocksDB below; records, schema and indexes above.

Consensus and services know this package; the rest of Quiesce knows only the formats that it documents in
docs/formats/record.md and docs/formats/index-key.md.
"""

from nodes.store.checkpoint_reader import CheckpointReader, SnapshotReader
from nodes.store.keys import PAGE_POSITIONS
from nodes.store.loader import StoreLoader
from nodes.store.state import StoreState
from nodes.store.store import Store
from nodes.store.view import StoreView

__all__ = ["PAGE_POSITIONS", "CheckpointReader", "SnapshotReader", "Store", "StoreLoader", "StoreState", "StoreView"]
