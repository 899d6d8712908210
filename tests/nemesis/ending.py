"""The end of a run: everything is healed, and all nodes must hold the same."""

from __future__ import annotations

import asyncio
from random import Random

from quiesce import AsyncClient
from quiesce.errors import QuiesceError
from quiesce.records import Record
from quiesce.v1.node_pb2 import SERVING_STATE_SERVING
from tests.nemesis.nodes import Nodes
from tests.nemesis.raw import STALE, Raw
from tests.nemesis.recorder import Recorder
from tests.nemesis.world import Contents

_AGREED_WITHIN_S = 120.0
# What is wrong already is not worth much waiting for more.
_WRONG_AGREED_WITHIN_S = 15.0


async def agreed_contents(nodes: Nodes, recorder: Recorder) -> Contents | None:
    """Return what every node holds at one log index; a violation, and None, if they do not come to agree."""
    raw = Raw(nodes, Random(0))
    within_s = _WRONG_AGREED_WITHIN_S if recorder.violated.is_set() else _AGREED_WITHIN_S
    deadline = recorder.seconds() + within_s
    why = "nobody answered"
    try:
        async with AsyncClient([nodes.addresses[node] for node in nodes.ids], timeout_s=10) as client:
            while recorder.seconds() < deadline:
                await asyncio.sleep(0.3)
                try:
                    if why := await _unsettled(raw, nodes):
                        continue
                    names = sorted(database.name for database in await client.list_databases(all=True))
                    held = [await _held(raw, node, names) for node in nodes.ids]
                except QuiesceError as error:
                    why = error.message()
                    continue
                if len({index for _, indexes in held for index in indexes}) > 1:
                    why = "the log still grows"
                    continue
                _compare(nodes, [contents for contents, _ in held], recorder)
                return held[0][0]
    finally:
        await raw.close()
    recorder.violate(f"the nodes did not come to rest within {within_s:g} s: {why}")
    return None


async def _unsettled(raw: Raw, nodes: Nodes) -> str:
    states = [await raw.status(node, timeout_s=3) for node in nodes.ids]
    behind = {state.node_id: state.applied_index for state in states}
    if len(set(behind.values())) > 1 or any(state.applied_index != state.commit_index for state in states):
        return f"applied {behind}"
    out = [state.node_id for state in states if state.serving != SERVING_STATE_SERVING]
    return f"nodes {out} do not serve" if out else ""


async def _held(raw: Raw, node: int, names: list[str]) -> tuple[Contents, set[int]]:
    contents: Contents = {}
    indexes: set[int] = set()
    for name in names:
        batches = await raw.scan(node, name, STALE, timeout_s=20)
        indexes |= {batch.index for batch in batches}
        records = [Record.of(record) for batch in batches for record in batch.records]
        contents[name] = {record.rid: record for record in records}
    return contents, indexes


def _compare(nodes: Nodes, held: list[Contents], recorder: Recorder) -> None:
    for node, contents in zip(nodes.ids[1:], held[1:], strict=True):
        for name, records in contents.items():
            first = held[0][name]
            different = [rid for rid in {*first, *records} if first.get(rid) != records.get(rid)]
            if different:
                rid = min(different)
                recorder.violate(
                    f"nodes {nodes.ids[0]} and {node} differ in {len(different)} records of {name}; the first is "
                    f"{first.get(rid)} and {records.get(rid)}"
                )
