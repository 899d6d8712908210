"""Log lines on standard error: for people or as JSON, and never more than somebody could read."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

_BURST = 20
_INTERVAL_S = 10.0


class RateLimit:
    """Lets `burst` lines of the same event through in each interval, and says later how many it held back.

    Args:
        monotonic: seconds.
    """

    def __init__(self, monotonic: Callable[[], float], burst: int = _BURST, interval_s: float = _INTERVAL_S) -> None:
        self._monotonic = monotonic
        self._burst = burst
        self._interval_s = interval_s
        self._seen: dict[str, tuple[float, int]] = {}

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the line, or raise DropEvent."""
        name, now = str(event.get("event")), self._monotonic()
        began, count = self._seen.get(name, (now, 0))
        if now - began >= self._interval_s:
            if count > self._burst:
                event["held_back"] = count - self._burst
            began, count = now, 0
        self._seen[name] = (began, count + 1)
        if count >= self._burst:
            raise structlog.DropEvent
        return event


def configure_logs(*, form: str, level: str, **fields: object) -> None:
    """Set up logging of the whole process; `form` is "console" or "json", `fields` are in every line."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            RateLimit(time.monotonic),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _with(fields),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def _with(fields: dict[str, object]) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.update(fields)
        return event

    return add
