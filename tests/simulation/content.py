"""Whether the content of a store is in itself as it should be: indexes, counters, page stamps, money."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from nodes.statemachine import ReplicatedState
from nodes.store import keys
from nodes.store.engine import META, PAGES, RECORDS
from tests.simulation.engine import Tables
from tests.simulation.schema import BALANCE, DATABASE, INDEXED, Clusters
from tests.simulation.violation import require


def check_content(
    state: ReplicatedState,
    tables: Tables,
    made: Mapping[tuple[int, int, int], int],
    deleted: Mapping[tuple[int, int], int],
) -> None:
    """Check a store.

    Raises:
        Violation: something does not fit.
    """
    schema = state.store.state.databases.get(DATABASE)
    if schema is None:
        return
    where = f"the store at {state.applied[0]}"
    records: dict[tuple[int, int], tuple[int, bytes]] = {}
    for key, value in tables[RECORDS].rows.items():
        database, cluster, position = keys.RECORD.unpack(key)
        version, _, body = keys.split_record(value)
        records[cluster, position] = version, body
        stamp = keys.STAMP.unpack(tables[PAGES].rows.get(_page(database, cluster, position), bytes(8)))[0]
        index = made.get((cluster, position, version), 0)
        require(stamp >= index, f"{where}: the page of {cluster}:{position} has stamp {stamp}, not {index}")
    for (cluster, position), index in deleted.items():
        if (cluster, position) not in records and index <= state.applied[0]:
            stamp = keys.STAMP.unpack(tables[PAGES].rows.get(_page(schema.id, cluster, position), bytes(8)))[0]
            require(stamp >= index, f"{where}: the page of the deleted {cluster}:{position} has stamp {stamp}")
    clusters = Clusters.of(schema.message)
    _check_counters(where, schema.id, tables, records)
    _check_index(where, state, records, clusters)
    balances = [
        json.loads(body)["balance"] for (cluster, _), (_, body) in records.items() if cluster == clusters.account
    ]
    require(sum(balances) == BALANCE * len(balances), f"{where}: the balances are {balances}")


def _page(database: int, cluster: int, position: int) -> bytes:
    return keys.RECORD.pack(database, cluster, position >> keys.PAGE_SHIFT)


def _check_counters(where: str, database: int, tables: Tables, records: Mapping[tuple[int, int], object]) -> None:
    counts = Counter(cluster for cluster, _ in records)
    for cluster, count in counts.items():
        value = tables[META].rows.get(keys.counters_key(database, cluster), bytes(16))
        following, counted = keys.COUNTERS_VALUE.unpack(value)
        last = max(position for one, position in records if one == cluster)
        require(counted == count, f"{where}: cluster {cluster} holds {count} records and says {counted}")
        require(following > last, f"{where}: cluster {cluster} would use position {following} again")


def _check_index(
    where: str, state: ReplicatedState, records: Mapping[tuple[int, int], tuple[int, bytes]], clusters: Clusters
) -> None:
    with state.store.view() as view:
        for cluster, index, field in INDEXED(clusters):
            expected: dict[object, set[tuple[int, int]]] = {}
            for rid, (_, body) in records.items():
                if rid[0] == cluster:
                    expected.setdefault(json.loads(body)[field], set()).add(rid)
            found = sum(len(batch) for batch in view.scan_index(DATABASE, index))
            total = sum(map(len, expected.values()))
            require(found == total, f"{where}: index {index} has {found} entries for {total} records")
            for value, rids in expected.items():
                (match,) = view.lookup(DATABASE, index, [json.dumps([value]).encode()], 0)
                there = {(record.cluster, record.position) for record in match.records}
                require(there == rids, f"{where}: index {index} has {there} for {value!r}, and the records are {rids}")
