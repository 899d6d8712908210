"""The history of one key, written down as it happens and judged when the key retires."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from quiesce.errors import QuiesceError
from tests.nemesis.history import Operation
from tests.nemesis.linearizability import check
from tests.nemesis.models import Model
from tests.nemesis.outcomes import Failed, Unknown
from tests.nemesis.recorder import Recorder
from tests.nemesis.witness import explain

# Short histories are quickly judged, and each unknown operation makes the search wider.
MOST_OPERATIONS = 250
MOST_UNKNOWN = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation came to; `index` is the log index that the answer named, 0 if none."""

    result: Any
    index: int = 0
    changed: bool = False


class Key:
    """One key: its operations, and how many are under way."""

    def __init__(self, name: str, model: Model[Any], recorder: Recorder) -> None:
        self.name = name
        self.model = model
        self.operations: list[Operation] = []
        # Certainly not applied: no part of the history, but of what a reader wants to see.
        self.failed: list[Operation] = []
        self.pending = 0
        self.unknown = 0
        self._recorder = recorder
        self._wrong = False

    @property
    def worn(self) -> bool:
        """Whether it is time for another key."""
        return len(self.operations) >= MOST_OPERATIONS or self.unknown >= MOST_UNKNOWN

    async def run(self, process: str, kind: str, argument: Any, call: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Do one operation and write it down; return None where it has no outcome.

        One that is cancelled stays unknown.
        """
        recorder = self._recorder
        operation = Operation(process, self.name, kind, recorder.now(), argument)
        floor = recorder.floor
        self.operations.append(operation)
        self.pending += 1
        try:
            answer = await call()
        except Failed as failed:
            self._drop(operation, failed)
            recorder.count(kind, "failed")
        except Unknown as unknown:
            if operation.changed_nothing:
                self._drop(operation, unknown)
            else:
                self.unknown += 1
            recorder.count(kind, "unknown")
        except QuiesceError as error:
            recorder.violate(f"{operation}: nobody expects {type(error).__name__}: {error.message()}")
        else:
            operation.result, operation.returned = answer.result, recorder.now()
            if answer.index:
                recorder.saw(str(operation), floor, answer.index, write=answer.changed)
            refused = operation.changed_nothing and kind not in {"read", "lookup"}
            recorder.count(kind, "refused" if refused else "ok", changed=answer.changed)
            return answer
        finally:
            self.pending -= 1
        return None

    def _drop(self, operation: Operation, why: Exception) -> None:
        self.operations.remove(operation)
        operation.result, operation.returned = why, self._recorder.now()
        self.failed.append(operation)

    def saw_last(self, result: Any, kind: str) -> None:
        """Take in what is found when everything is over."""
        now = self._recorder.now()
        self.operations.append(Operation("the end", self.name, kind, now, None, result, now))

    def judge(self) -> None:
        """See whether the history is linearizable; what is not is a violation."""
        finding = check(self.operations, self.model)
        if not finding and not self._wrong:
            self._wrong = True
            self._recorder.violate(explain(self.operations, self.model, finding))
