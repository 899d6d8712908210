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
from quiesce.v1.peer_pb2 import Outcome
from quiesce.v1.record_pb2 import OpenSessionResponse, WriteRequest

# In log time.
EXPIRES_AFTER_MS = 3_600_000
MAX_OUTCOMES = 1024
MAX_SESSIONS = 65_536
_MAX_CLIENT_BYTES = 256


@dataclass(slots=True)
class _Session:
    client: bytes
    last_used_ms: int
    # No sequence up to here is applied any more; their outcomes are not kept.
    forgotten_through: int = 0
    kept: set[int] = field(default_factory=set)


class Sessions:
    """All open sessions, the longest unused first."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._sessions: OrderedDict[int, _Session] = OrderedDict()
        self._load()

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, session_id: int, client: str, now_ms: int) -> OpenSessionResponse:
        """Open a session; where there are too many, the one unused for longest is forgotten."""
        if len(self._sessions) >= MAX_SESSIONS:
            self._forget(self._longest_unused())
        session = _Session(client.encode()[:_MAX_CLIENT_BYTES], now_ms)
        self._sessions[session_id] = session
        self._store(session_id, session)
        return OpenSessionResponse(session_id=session_id, expires_after_ms=EXPIRES_AFTER_MS)

    def _longest_unused(self) -> int:
        # Of those last used at the same time the oldest: their order in memory is another after a restart.
        first = next(iter(self._sessions.values())).last_used_ms
        equal = itertools.takewhile(lambda item: item[1].last_used_ms == first, self._sessions.items())
        return min(session_id for session_id, _ in equal)

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
        self._pending.put(META, key, outcome.SerializeToString(deterministic=True))
        session.kept.add(request.sequence)
        # Its own answer cannot have arrived yet.
        acknowledged = min(request.acknowledged_through, request.sequence - 1)
        if acknowledged > session.forgotten_through:
            self._forget_through(request.session_id, session, acknowledged)
        if len(session.kept) > MAX_OUTCOMES:
            self._forget_through(request.session_id, session, min(session.kept))
        self._store(request.session_id, session)

    def _forget_through(self, session_id: int, session: _Session, through: int) -> None:
        # By the range or by what is kept, whichever is less: a sequence may be any number.
        if through - session.forgotten_through < len(session.kept):
            candidates = [n for n in range(session.forgotten_through + 1, through + 1) if n in session.kept]
        else:
            candidates = [n for n in session.kept if n <= through]
        for sequence in candidates:
            session.kept.discard(sequence)
            self._pending.put(META, keys.outcome_key(session_id, sequence), None)
        session.forgotten_through = through

    def _forget(self, session_id: int) -> None:
        session = self._sessions.pop(session_id)
        for sequence in session.kept:
            self._pending.put(META, keys.outcome_key(session_id, sequence), None)
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
        for key, _ in engine.scan(META, keys.OUTCOME_PREFIX, keys.after(keys.OUTCOME_PREFIX)):
            session_id, sequence = keys.outcome_of(key)
            found[session_id].kept.add(sequence)
        self._sessions.update(sorted(found.items(), key=lambda item: (item[1].last_used_ms, item[0])))
