"""Keys and values of the store's column families; docs/formats/record.md describes them byte by byte.

All integers are big-endian, so that RocksDB's order of bytes is the order of numbers.
"""

from __future__ import annotations

import struct

from quiesce.errors import DamagedStore

# Positions in one page: the unit in which snapshots find and compare what changed.
PAGE_POSITIONS = 1024
PAGE_SHIFT = 10

MAX_VERSION = (1 << 31) - 1

DATABASE = struct.Struct(">I")
CLUSTER = struct.Struct(">IH")
# Database, cluster, position; and with a page number in place of the position, the key of a page.
RECORD = struct.Struct(">IHQ")
# Version and kind, before the body.
RECORD_HEADER = struct.Struct(">IB")
STAMP = struct.Struct(">Q")
INDEX = struct.Struct(">II")
# Cluster and position: the tail of a non-unique entry's key, and the value of a unique one.
ENTRY_RID = struct.Struct(">HQ")

APPLIED = b"applied"
CLOCK = b"clock"
LEASE = b"lease"
MEMBERSHIP = b"membership"
FORMAT = b"format"
NEXT_DATABASE = b"next-database"

# index, term, and how many commands of the entry after it are applied already (0 but for a crash inside an entry).
APPLIED_VALUE = struct.Struct(">QQI")
COUNTERS_VALUE = struct.Struct(">QQ")
ALLOCATION_VALUE = struct.Struct(">II")
SESSION_VALUE = struct.Struct(">QQ")

_COUNTERS = struct.Struct(">cIH")
_ALLOCATION = struct.Struct(">cI")
_SESSION = struct.Struct(">cQ")
_OUTCOME = struct.Struct(">cQQ")

COUNTERS_PREFIX = b"c"
ALLOCATION_PREFIX = b"n"
SESSION_PREFIX = b"s"
OUTCOME_PREFIX = b"o"


def counters_key(database: int, cluster: int) -> bytes:
    """Return the meta key of a cluster's next position and number of records."""
    return _COUNTERS.pack(COUNTERS_PREFIX, database, cluster)


def counters_of(key: bytes) -> tuple[int, int]:
    """Return database and cluster of a key that `counters_key` made."""
    _, database, cluster = _COUNTERS.unpack(key)
    return database, cluster


def allocation_key(database: int) -> bytes:
    """Return the meta key of a database's next cluster and index ids."""
    return _ALLOCATION.pack(ALLOCATION_PREFIX, database)


def session_key(session: int) -> bytes:
    """Return the meta key of a client session."""
    return _SESSION.pack(SESSION_PREFIX, session)


def session_of(key: bytes) -> int:
    """Return the session of a key that `session_key` made."""
    return int(_SESSION.unpack(key)[1])


def outcome_key(session: int, sequence: int) -> bytes:
    """Return the meta key of the kept outcome of one write of a session."""
    return _OUTCOME.pack(OUTCOME_PREFIX, session, sequence)


def outcome_of(key: bytes) -> tuple[int, int]:
    """Return session and sequence of a key that `outcome_key` made."""
    _, session, sequence = _OUTCOME.unpack(key)
    return session, sequence


def counters_range(database: int) -> tuple[bytes, bytes]:
    """Return the range of the counters of all of a database's clusters."""
    return COUNTERS_PREFIX + DATABASE.pack(database), after(COUNTERS_PREFIX + DATABASE.pack(database))


def database_range(database: int) -> tuple[bytes, bytes]:
    """Return the range that a database has in records, pages and indexes."""
    return DATABASE.pack(database), after(DATABASE.pack(database))


def cluster_range(database: int, cluster: int) -> tuple[bytes, bytes]:
    """Return the range that a cluster has in records and in pages."""
    prefix = CLUSTER.pack(database, cluster)
    return prefix, after(prefix)


def index_range(database: int, index: int) -> tuple[bytes, bytes]:
    """Return the range that an index has in the column family of indexes."""
    prefix = INDEX.pack(database, index)
    return prefix, after(prefix)


def after(prefix: bytes) -> bytes:
    """Return the least key behind all that begin with `prefix`."""
    stripped = prefix.rstrip(b"\xff")
    if not stripped:
        # No such key exists; eighteen bytes of 0xff are longer than any fixed key of ours.
        return b"\xff" * 18
    return stripped[:-1] + bytes((stripped[-1] + 1,))


def unpacked(form: struct.Struct, value: bytes) -> tuple[int, ...]:
    """Return the numbers of a stored value.

    Raises:
        DamagedStore: it is of another length; never taken for a fault of the command that needed it.
    """
    if len(value) != form.size:
        raise DamagedStore(path="meta", detail=f"a value of {len(value)} bytes should have {form.size}")
    return form.unpack(value)


def rid_text(cluster: int, position: int) -> str:
    """Return a record id in OrientDB's notation."""
    return f"#{cluster}:{position}"


def split_record(value: bytes) -> tuple[int, int, bytes]:
    """Return version, kind and body of a stored record.

    Raises:
        DamagedStore: the value is shorter than its header.
    """
    if len(value) < RECORD_HEADER.size:
        raise DamagedStore(path="records", detail=f"a record of {len(value)} bytes has no header")
    version, kind = RECORD_HEADER.unpack_from(value)
    return version, kind, value[RECORD_HEADER.size :]
