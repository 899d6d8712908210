"""The coordinator's service: backups on a schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc.aio

from coordinator.policies.drilling import PolicyDrills
from coordinator.policies.messages import policy_message, spec_of
from coordinator.policies.model import BackupPolicy
from coordinator.policies.scheduler import Scheduler
from coordinator.policies.store import PolicyStore
from coordinator.schedule import Timetable
from quiesce.rpc import typed_errors
from quiesce.v1 import policy_pb2
from quiesce.v1.policy_pb2_grpc import PoliciesServicer

SERVICE = policy_pb2.DESCRIPTOR.services_by_name["Policies"].full_name
MOST_RUNS = 1_000
Context = grpc.aio.ServicerContext[Any, Any]


class PoliciesService(PoliciesServicer):
    """See policy.proto. `clock` gives Unix milliseconds."""

    def __init__(self, *, policies: PolicyStore, scheduler: Scheduler, clock: Callable[[], int]) -> None:
        self._policies = policies
        self._scheduler = scheduler
        self._clock = clock

    @typed_errors
    async def Create(self, request: policy_pb2.CreatePolicyRequest, context: Context) -> policy_pb2.Policy:  # noqa: ARG002, N802
        """Keep a new policy; its first run is the next that becomes due."""
        now_ms = self._clock()
        spec, table = spec_of(request.spec), Timetable(decided_ms=now_ms)
        drills = PolicyDrills(table) if spec.drill is not None else None
        policy = BackupPolicy(spec, table, drills=drills).noted(now_ms, "created")
        await self._policies.add(policy)
        self._scheduler.wake()
        return self._message(policy)

    @typed_errors
    async def List(  # noqa: N802
        self,
        request: policy_pb2.ListPoliciesRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> policy_pb2.ListPoliciesResponse:
        """List the policies by name, without their histories."""
        found = [self._message(replace(entry.value, events=())) for entry in await self._policies.by_name()]
        return policy_pb2.ListPoliciesResponse(policies=found)

    @typed_errors
    async def Show(self, request: policy_pb2.ShowPolicyRequest, context: Context) -> policy_pb2.Policy:  # noqa: ARG002, N802
        """Show one policy."""
        return self._message((await self._policies.find(request.name)).value)

    @typed_errors
    async def Pause(self, request: policy_pb2.PausePolicyRequest, context: Context) -> policy_pb2.Policy:  # noqa: ARG002, N802
        """Start no further runs."""

        def pause(policy: BackupPolicy) -> BackupPolicy:
            return replace(policy, table=policy.table.pause()).noted(self._clock(), "paused")

        return self._message((await self._policies.change(request.name, pause)).value)

    @typed_errors
    async def Resume(self, request: policy_pb2.ResumePolicyRequest, context: Context) -> policy_pb2.Policy:  # noqa: ARG002, N802
        """Start runs again."""

        def resume(policy: BackupPolicy) -> BackupPolicy:
            now_ms = self._clock()
            drills = policy.drills and policy.drills.resumed(now_ms)
            return replace(policy, table=policy.table.resume(now_ms), drills=drills).noted(now_ms, "resumed")

        entry = await self._policies.change(request.name, resume)
        self._scheduler.wake()
        return self._message(entry.value)

    @typed_errors
    async def Run(self, request: policy_pb2.RunPolicyRequest, context: Context) -> policy_pb2.Policy:  # noqa: ARG002, N802
        """Start a run now."""
        return self._message(await self._scheduler.run_now(request.name))

    @typed_errors
    async def Delete(  # noqa: N802
        self,
        request: policy_pb2.DeletePolicyRequest,
        context: Context,  # noqa: ARG002
    ) -> policy_pb2.DeletePolicyResponse:
        """Forget a policy."""
        await self._policies.delete(request.name)
        return policy_pb2.DeletePolicyResponse()

    @typed_errors
    async def Next(self, request: policy_pb2.NextRunsRequest, context: Context) -> policy_pb2.NextRunsResponse:  # noqa: ARG002, N802
        """Tell when the next runs are due."""
        entries = [await self._policies.find(request.name)] if request.name else await self._policies.by_name()
        count, now_ms = min(request.count or 10, MOST_RUNS), self._clock()
        runs = [
            policy_pb2.ComingRun(policy=policy.spec.name, at_ms=at_ms)
            for policy in (entry.value for entry in entries)
            if not policy.table.paused
            for at_ms in policy.spec.plan().coming(max(now_ms, policy.table.decided_ms), count)
        ]
        runs.sort(key=lambda run: (run.at_ms, run.policy))
        return policy_pb2.NextRunsResponse(runs=runs[:count])

    def _message(self, policy: BackupPolicy) -> policy_pb2.Policy:
        return policy_message(policy, self._clock())
