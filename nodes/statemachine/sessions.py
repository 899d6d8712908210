"""Client sessions: a write that is sent twice is applied once, and its second answer is the first one.

The memory holds which sequences have an outcome, the store the outcomes themselves. What memory holds follows from
the store, so a restart changes nothing.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from dataclasses import dataclass, field

from nodes.statemachine.pending import Pending
from nodes.store import keys
from nodes.store.engine import META
from quiesce.errors import InvalidRequest, OutcomeUnknown, SessionExpired
from quiesce.rpc.limits import OUTCOMES, OUTCOMES_BYTES, SESSION_OUTCOMES, SESSIONS
from quiesce.v1.peer_pb2 import Outcome
from quiesce.v1.record_pb2 import OpenSessionResponse, WriteRequest

# In log time.
EXPIRES_AFTER_MS = 3_600_000
MAX_OUTCOMES = SESSION_OUTCOMES
MAX_SESSIONS = SESSIONS
_MAX_CLIENT_BYTES = 256


@dataclass(slots=True)
class _Session:
    client: bytes
    last_used_ms: int
    # No sequence up to here is applied any more; their outcomes are not kept.
    forgotten_through: int = 0
    # The sequences whose outcomes are kept, and the bytes of each.
    kept: dict[int, int] = field(default_factory=dict)


class Sessions:
    """All open sessions, the longest unused first."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._sessions: OrderedDict[int, _Session] = OrderedDict()
        # Outcomes that are kept, of all sessions.
        self._count, self._bytes = 0, 0
        self._load()

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, session_id: int, client: str, now_ms: int) -> OpenSessionResponse:
        """Open a session; where there are too many, the one unused for longest is forgotten."""
        if len(self._sessions) >= MAX_SESSIONS and (unused := self._longest_unused()) is not None:
            self._forget(unused)
        session = _Session(client.encode()[:_MAX_CLIENT_BYTES], now_ms)
        self._sessions[session_id] = session
        self._store(session_id, session)
        return OpenSessionResponse(session_id=session_id, expires_after_ms=EXPIRES_AFTER_MS)

    def _longest_unused(self, *, but: int = 0) -> int | None:
        """Return the session that was unused for longest, `but` left out; None where there is no other."""
        others = (item for item in self._sessions.items() if item[0] != but)
        first = next(others, None)
        if first is None:
            return None
        # Of those last used at the same time the oldest: their order in memory is another after a restart.
        equal = itertools.takewhile(lambda item: item[1].last_used_ms == first[1].last_used_ms, others)
        return min((first[0], *(session_id for session_id, _ in equal)))

    def expire(self, now_ms: int) -> None:
        """Forget the sessions that were unused for too long."""
        while self._sessions:
            session_id, session = next(iter(self._sessions.items()))
            if session.last_used_ms + EXPIRES_AFTER_MS > now_ms:
                return
            self._forget(session_id)

    def earlier(self, request: WriteRequest) -> Outcome | None:
        """Return what a write came to when it was applied before, or None where it is new.

        Raises:
            SessionExpired: the session is not known.
            OutcomeUnknown: it was applied, or skipped, so long ago that its outcome is forgotten.
            InvalidRequest: it has no sequence.
        """
        session = self._sessions.get(request.session_id)
        if session is None:
            raise SessionExpired(session_id=request.session_id)
        if request.sequence == 0:
            raise InvalidRequest(detail="a write in a session needs a sequence, counted from 1")
        if request.sequence in session.kept:
            found = self._pending.get(META, keys.outcome_key(request.session_id, request.sequence))
            return Outcome.FromString(found or b"")
        if request.sequence <= session.forgotten_through:
            raise OutcomeUnknown(detail=f"sequence {request.sequence} of session {request.session_id} is forgotten")
        return None

    def keep(self, request: WriteRequest, outcome: Outcome, now_ms: int) -> None:
        """Keep the outcome of a write of a known session, and forget those that the client has."""
        session = self._sessions[request.session_id]
        self._sessions.move_to_end(request.session_id)
        session.last_used_ms = now_ms
        key = keys.outcome_key(request.session_id, request.sequence)
        value = outcome.SerializeToString(deterministic=True)
        self._pending.put(META, key, value)
        session.kept[request.sequence] = len(value)
        self._count += 1
        self._bytes += len(value)
        # Its own answer cannot have arrived yet.
        acknowledged = min(request.acknowledged_through, request.sequence - 1)
        if acknowledged > session.forgotten_through:
            self._forget_through(request.session_id, session, acknowledged)
        if len(session.kept) > MAX_OUTCOMES:
            self._forget_through(request.session_id, session, min(session.kept))
        self._store(request.session_id, session)
        while self._count > OUTCOMES or self._bytes > OUTCOMES_BYTES:
            self._make_room(request.session_id)

    def _make_room(self, writing: int) -> None:
        """Forget the session that was unused for longest; where only one is left, its oldest outcome."""
        if (unused := self._longest_unused(but=writing)) is not None:
            self._forget(unused)
            return
        session = self._sessions[writing]
        self._forget_through(writing, session, min(session.kept))
        self._store(writing, session)

    def _forget_through(self, session_id: int, session: _Session, through: int) -> None:
        # By the range or by what is kept, whichever is less: a sequence may be any number.
        if through - session.forgotten_through < len(session.kept):
            candidates = [n for n in range(session.forgotten_through + 1, through + 1) if n in session.kept]
        else:
            candidates = [n for n in session.kept if n <= through]
        for sequence in candidates:
            self._drop_outcome(session_id, session, sequence)
        session.forgotten_through = through

    def _drop_outcome(self, session_id: int, session: _Session, sequence: int) -> None:
        self._bytes -= session.kept.pop(sequence)
        self._count -= 1
        self._pending.put(META, keys.outcome_key(session_id, sequence), None)

    def _forget(self, session_id: int) -> None:
        session = self._sessions.pop(session_id)
        for sequence in list(session.kept):
            self._drop_outcome(session_id, session, sequence)
        self._pending.put(META, keys.session_key(session_id), None)

    def _store(self, session_id: int, session: _Session) -> None:
        value = keys.SESSION_VALUE.pack(session.last_used_ms, session.forgotten_through) + session.client
        self._pending.put(META, keys.session_key(session_id), value)

    def _load(self) -> None:
        engine = self._pending.engine
        found: dict[int, _Session] = {}
        for key, value in engine.scan(META, keys.SESSION_PREFIX, keys.after(keys.SESSION_PREFIX)):
            last_used, forgotten = keys.SESSION_VALUE.unpack_from(value)
            found[keys.session_of(key)] = _Session(value[keys.SESSION_VALUE.size :], last_used, forgotten)
        for key, value in engine.scan(META, keys.OUTCOME_PREFIX, keys.after(keys.OUTCOME_PREFIX)):
            session_id, sequence = keys.outcome_of(key)
            found[session_id].kept[sequence] = len(value)
            self._count += 1
            self._bytes += len(value)
        self._sessions.update(sorted(found.items(), key=lambda item: (item[1].last_used_ms, item[0])))
