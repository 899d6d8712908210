"""The coordinator's service: backups on a schedule."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from quiesce.client.coordinator import CoordinatorClient
from quiesce.v1 import policy_pb2, policy_pb2_grpc
from quiesce.v1.policy_pb2 import ComingRun, Policy, PolicySpec

if TYPE_CHECKING:
    from quiesce.v1.policy_pb2_grpc import PoliciesAsyncStub

    _Client = CoordinatorClient[PoliciesAsyncStub]
else:
    _Client = CoordinatorClient


class Policies(_Client):
    """A client of a coordinator for its policies. Every method raises UnknownPolicy for a name that is not there."""

    def __init__(self, addresses: str, *, timeout_s: float = 10.0) -> None:
        """Make a client of the coordinators at `host:port,…`; it connects when it is first used."""
        super().__init__(addresses, timeout_s, policy_pb2_grpc.PoliciesStub)

    async def create(self, spec: PolicySpec) -> Policy:
        """Keep a new policy.

        Raises:
            PolicyExists: there is one of that name.
            InvalidRequest: a value makes no sense.
        """
        return await self._call(
            lambda stub: stub.Create, policy_pb2.CreatePolicyRequest(spec=spec), "creating the policy"
        )

    async def list(self) -> builtins.list[Policy]:
        """Return all policies by name, without their histories."""
        return [
            *(await self._call(lambda stub: stub.List, policy_pb2.ListPoliciesRequest(), "listing policies")).policies
        ]

    async def show(self, name: str) -> Policy:
        """Return one policy."""
        return await self._call(lambda stub: stub.Show, policy_pb2.ShowPolicyRequest(name=name), "showing the policy")

    async def pause(self, name: str) -> Policy:
        """Start no further runs."""
        return await self._call(lambda stub: stub.Pause, policy_pb2.PausePolicyRequest(name=name), "pausing the policy")

    async def resume(self, name: str) -> Policy:
        """Start runs again."""
        return await self._call(
            lambda stub: stub.Resume, policy_pb2.ResumePolicyRequest(name=name), "resuming the policy"
        )

    async def run(self, name: str) -> Policy:
        """Start a run now, or after the one under way."""
        return await self._call(lambda stub: stub.Run, policy_pb2.RunPolicyRequest(name=name), "running the policy")

    async def delete(self, name: str) -> None:
        """Forget a policy; its snapshots stay."""
        await self._call(lambda stub: stub.Delete, policy_pb2.DeletePolicyRequest(name=name), "deleting the policy")

    async def next(self, name: str = "", *, count: int = 10) -> builtins.list[ComingRun]:
        """Return when the next runs are due, the soonest first."""
        request = policy_pb2.NextRunsRequest(name=name, count=count)
        return [*(await self._call(lambda stub: stub.Next, request, "asking for the next runs")).runs]
