"""A whole run: nodes, network, clients and faults; then everything is mended, and must come to rest equal."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from tests.simulation.applied import Applied
from tests.simulation.bounds import bounds_of
from tests.simulation.faults import FaultInjector
from tests.simulation.history import History
from tests.simulation.invariants import Invariants
from tests.simulation.judge import Judge
from tests.simulation.network import Network
from tests.simulation.node import Node
from tests.simulation.operators import Operators
from tests.simulation.plan import Plan, plan
from tests.simulation.scheduler import Scheduler
from tests.simulation.trace import EventLog
from tests.simulation.violation import Violation, require
from tests.simulation.workload import Workload

STEPS = 8000
# After the mending: so many steps until all is quiet at the latest.
_SETTLE_STEPS = 30_000
_LOOK_EVERY = 50


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended: what was broken, if anything, and at which step."""

    seed: int
    broken: str | None
    step: int
    counts: Counter[str]


class World:
    """One run of one seed."""

    def __init__(self, seed: int, bounds: dict[str, int], write: Callable[[str], None] | None = None) -> None:
        self.plan: Plan = plan(seed)
        self.scheduler = Scheduler()
        self.trace = EventLog(lambda: (self.scheduler.steps, self.scheduler.now), write)
        self.counts: Counter[str] = Counter()
        self.healed = False
        self.network = Network(self.plan, self.scheduler, random.Random(f"{seed} network"))
        self.founders = list(range(1, self.plan.nodes + 1))
        self.applied = Applied()
        self.invariants = Invariants(self.founders, self.applied)
        self.history = History(self.applied.truth)
        self.judge = Judge(lambda: self.scheduler.now)
        self.nodes: dict[int, Node] = {}
        for node in self.founders:
            self.nodes[node] = Node(node, self, self.founders, founding=True)
        self.invariants.nodes = self.nodes
        self.faults = FaultInjector(self)
        self.workload = Workload(self)
        self.trace("*", f"plan: {self.plan}; bounds: {bounds or 'as they are'}")

    def ready(self) -> None:
        """Begin with the faults: there is something to lose."""
        self.faults.begin()
        Operators(self).begin()

    @property
    def ids(self) -> list[int]:
        """The nodes that there are, and that have not left for good."""
        return [node.id for node in self.nodes.values() if not node.gone]

    @property
    def members(self) -> list[int]:
        """The nodes that belong to the cluster."""
        membership = self.applied.membership
        return self.founders if membership is None else [node.node_id for node in membership.nodes]

    def join(self) -> None:
        """Start the nodes that were added: whoever adds one has it ready."""
        for node in self.members:
            if node not in self.nodes:
                self.trace(node, "is new")
                self.nodes[node] = Node(node, self, [*self.members], founding=False)
                self.nodes[node].start()

    def run(self, steps: int) -> None:
        """Run, mend, settle, and look at the end.

        Raises:
            Violation: a promise was broken.
        """
        for node in self.nodes.values():
            node.start()
        self.workload.begin()
        while self.scheduler.steps < steps and len(self.scheduler):
            self.scheduler.step()
            self.join()
        self._heal()
        self._settle()
        self._count()

    def _heal(self) -> None:
        self.trace("*", "everything is mended")
        self.healed = self.network.healed = True
        self.workload.over = True
        self.network.heal()
        for node in self.nodes.values():
            node.disk.power = node.disk.failure = None
            node.slow_us, node.paused_until, node.low, node.disk.full = 0, 0, False, False
            if node.gone:
                continue
            if node.up:
                node.post(partial(_equal_priority, node))
            else:
                node.start()

    def _settle(self) -> None:
        until = self.scheduler.steps + _SETTLE_STEPS
        quiet = 0
        while self.scheduler.steps < until:
            for _ in range(_LOOK_EVERY):
                self.scheduler.step()
                self.join()
            quiet = quiet + 1 if self._equal() else 0
            if quiet == 2:
                self._check_end()
                return
        raise Violation(f"the healed cluster does not come to rest: {self._progress()}")

    def _alive(self) -> list[Node]:
        return [node for node in self.nodes.values() if not node.gone]

    def _progress(self) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = []
        for node in self._alive():
            if not node.up:
                continue
            status = node.replica.core.status()
            found.append((node.id, status.role, status.term, status.last_index, status.commit, node.applier.applied))
        return found

    def _equal(self) -> bool:
        if not all(node.up for node in self._alive()) or set(self.members) != set(self.ids):
            return False
        progress = self._progress()
        places = {one[3:] for one in progress}
        leads = [one for one in progress if one[1] == 3]
        return len(places) == 1 and len(set(places.pop())) == 1 and len(leads) == 1

    def _check_end(self) -> None:
        contents = [{family: table.rows for family, table in node.tables().items()} for node in self._alive()]
        require(all(content == contents[0] for content in contents), "the replicas are not equal in the end")
        self.applied.check()
        self.judge.judge()
        lost = self.history.acknowledged
        applied = min(node.applier.applied for node in self._alive())
        require(applied >= lost, f"index {lost} was acknowledged, and the cluster has {applied} in the end")

    def _count(self) -> None:
        history, counts = self.history, self.counts
        counts["writes"] += history.writes
        counts["reads"] += history.reads
        counts["stale reads"] += history.stale_reads
        counts["unknown"] += history.unknown
        counts["refusals"] += history.refusals
        counts["undecided"] += self.judge.undecided
        counts["terms"] += len(self.invariants.leaders)
        counts["second tries"] += self.applied.second_tries
        counts["virtual ms"] += self.scheduler.now // 1000


def _equal_priority(node: Node) -> None:
    node.replica.core.set_priority(0)


@contextmanager
def _in_silence() -> Iterator[None]:
    """Keep what the product logs out of the way."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def simulate(seed: int, steps: int = STEPS, write: Callable[[str], None] | None = None) -> Result:
    """Run a seed, and say how it ended."""
    world = None
    try:
        with bounds_of(seed) as bounds, _in_silence():
            world = World(seed, bounds, write)
            world.run(steps)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever ends a node unexpectedly is a finding, a Rust panic too
        import traceback

        text = str(error) if isinstance(error, Violation) else "".join(traceback.format_exception(error))
        return Result(seed, text, world.scheduler.steps if world else 0, world.counts if world else Counter())
    return Result(seed, None, world.scheduler.steps, world.counts)
