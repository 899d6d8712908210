"""Scans that go on at another node where the caller asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from quiesce.client.attempts import Effect, ambiguous
from quiesce.client.calls import Calls
from quiesce.errors import QuiesceError
from quiesce.v1 import record_pb2
from quiesce.v1.record_pb2 import ScanRequest, ScanResponse


async def scan_records(
    calls: Calls, request: ScanRequest, *, resume: bool, timeout_s: float | None
) -> AsyncIterator[ScanResponse]:
    """Stream a scan; with `resume`, go on behind the last record when the node fails midway.

    What follows is then of a later moment than what came before, so it is not done unasked.
    """
    limit, delivered = request.limit, 0
    while True:
        attempts = calls.attempts("the scan", Effect.NONE, timeout_s)
        batches = calls.stream(lambda node: node.records.Scan, request, attempts)
        moved = False
        try:
            async for batch in batches:
                index = batch.index
                if batch.records:
                    moved = True
                    delivered += len(batch.records)
                    last = batch.records[-1]
                    after = record_pb2.RecordId(cluster=last.cluster, position=last.position)
                yield batch
            return
        except QuiesceError as error:
            # Only a round that moved on has a successor, so there is an end to it.
            if not (resume and moved and (error.retryable or ambiguous(error))):
                raise
        finally:
            await batches.aclose()
        if limit and delivered >= limit:
            return
        again = ScanRequest()
        again.CopyFrom(request)
        again.after.CopyFrom(after)
        # A node that is behind would show an earlier moment.
        again.min_index = max(request.min_index, index)
        again.limit = limit - delivered if limit else 0
        request = again
