"""Whether a snapshot holds what the other replicas hold, and who does not. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from quiesce.errors import ReplicaDiverged

# Of a content id, enough to tell two apart.
_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Attestation:
    """What a node said of its state at the mark: a content id, or why there is none."""

    node_id: int
    content_id: str = ""
    why: str = ""
    # There is none because its store is damaged.
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the attestations come to.

    Attributes:
        refusal: why the snapshot must not be published; None: it may.
        diverged: nodes that do not hold what the majority holds, or whose store is damaged, ascending.
        agreeing: nodes that hold what the snapshot holds, ascending; none where it is refused.
        notes: for the job's history.
    """

    refusal: ReplicaDiverged | None
    diverged: tuple[int, ...]
    agreeing: tuple[int, ...]
    notes: tuple[str, ...]


def judge(node_id: int, content_id: str, others: Sequence[Attestation]) -> Judgement:
    """Compare the snapshot of a replica, by its content id, with what the others say.

    The majority of those that answer is right. Without one, nobody knows who is, and the snapshot is refused; but where
    no other answers the snapshot stands alone, as one of a cluster of one would.
    """
    said = {node_id: content_id} | {one.node_id: one.content_id for one in others if one.content_id}
    common, count = Counter(said.values()).most_common(1)[0]
    right = common if 2 * count > len(said) else None
    damaged = {one.node_id for one in others if one.damaged}
    differing = {node for node, found in said.items() if right is not None and found != right}
    silent = [one for one in others if not one.content_id and not one.damaged]
    notes = [f"node {one.node_id} did not attest: {one.why}" for one in silent]
    notes += [f"node {one.node_id} has a damaged store: {one.why}" for one in others if one.damaged]
    notes += [
        f"node {node} has diverged: at the mark it held {_short(said[node])}, the majority {_short(right or '')}"
        for node in sorted(differing)
    ]
    refusal = None
    if content_id != right:
        refusal = ReplicaDiverged(node_id=node_id, detail=_who_held_what(said, right))
    elif len(said) > 1:
        notes.append(f"{_nodes(set(said) - differing)} hold the same at the mark: {_short(content_id)}")
    return Judgement(
        refusal,
        tuple(sorted(differing | damaged)),
        () if refusal else tuple(sorted(set(said) - differing)),
        tuple(notes),
    )


def _who_held_what(said: dict[int, str], right: str | None) -> str:
    groups = sorted((sorted(node for node in said if said[node] == found), found) for found in set(said.values()))
    text = ", ".join(f"{_nodes(nodes)} {_short(found)}" for nodes, found in groups)
    return text if right is not None else f"{text}; no majority says which is right"


def _nodes(nodes: set[int] | list[int]) -> str:
    return f"node{'s' if len(nodes) > 1 else ''} {', '.join(map(str, sorted(nodes)))}"


def _short(content_id: str) -> str:
    return content_id[:_SHOWN]
