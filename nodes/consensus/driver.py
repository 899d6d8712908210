"""The thread that owns the Raft core: an inbox, a clock, and nothing that waits but the disk."""

from __future__ import annotations

import queue
import threading

from nodes.consensus.options import ConsensusOptions
from nodes.consensus.ports import Event, PeerMessages
from nodes.consensus.replica import Replica

# Events taken at once, so that ticks are never starved.
_MOST_EVENTS = 4096
_STOP_TIMEOUT_S = 10.0


class Driver:
    """Feeds a replica on a thread of its own."""

    def __init__(self, options: ConsensusOptions) -> None:
        self._options = options
        self._inbox: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stopping = False
        self._thread: threading.Thread | None = None
        # Bytes of peers' messages that wait here; more is not read from the streams (see `peer_bytes`).
        self._peer_bytes_in = 0
        self._peer_bytes_taken = 0

    @property
    def peer_bytes(self) -> int:
        """Bytes of peers' messages in the inbox."""
        return self._peer_bytes_in - self._peer_bytes_taken

    def start(self, replica: Replica) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, args=(replica,), name="quiesce-raft", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; events that wait are left. A disk that hangs is not waited for."""
        self._stopping = True
        self._inbox.put(_nothing)
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)

    def put(self, event: Event) -> None:
        """Put an event into the inbox; from any thread."""
        self._inbox.put(event)

    def put_messages(self, messages: PeerMessages) -> None:
        """Put messages of a peer into the inbox; from one thread only, which must mind `peer_bytes`."""
        self._peer_bytes_in += messages.size
        self._inbox.put(messages)

    def wake(self) -> None:
        """Have the replica look again at what it waits for."""
        self._inbox.put(_nothing)

    def _run(self, replica: Replica) -> None:
        clock = self._options.monotonic
        interval = self._options.tick_ms / 1000
        try:
            next_tick = clock() + interval
            while not self._stopping:
                if events := self._drain(next_tick - clock()):
                    replica.take(events)
                now = clock()
                if now >= next_tick:
                    replica.tick()
                    # Ticks that were missed stay missed: a process that slept must hear its peers before it campaigns.
                    next_tick = max(next_tick + interval, now)
        except BaseException as error:  # noqa: BLE001 - a core that was left in the middle cannot go on
            self._options.on_fatal(error)

    def _drain(self, timeout_s: float) -> list[Event]:
        events: list[Event] = []
        try:
            event = self._inbox.get(timeout=timeout_s) if timeout_s > 0 else self._inbox.get_nowait()
            while True:
                events.append(event)
                if isinstance(event, PeerMessages):
                    self._peer_bytes_taken += event.size
                if len(events) >= _MOST_EVENTS:
                    break
                event = self._inbox.get_nowait()
        except queue.Empty:
            pass
        return events


def _nothing() -> None:
    """Wake the thread."""
