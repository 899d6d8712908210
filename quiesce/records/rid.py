"""The place of a record."""

from __future__ import annotations

import re
from typing import NamedTuple

from quiesce.errors import InvalidRequest
from quiesce.v1 import record_pb2

MAX_CLUSTER_ID = 32_767
MAX_POSITION = (1 << 63) - 1

# Signs: OrientDB writes `#-1:-1` for a link to nothing.
_TEXT = re.compile(r"#(-?[0-9]{1,10}):(-?[0-9]{1,19})\Z")


class RID(NamedTuple):
    """A record's id, `#cluster:position` in OrientDB's notation."""

    cluster: int
    position: int

    @classmethod
    def parse(cls, text: str) -> RID:
        """Read `#12:3`.

        Raises:
            InvalidRequest: the text is not a record id.
        """
        found = _TEXT.match(text)
        if found is None:
            raise InvalidRequest(detail=f"`{text}` is not a record id; one looks like #12:3")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, message: record_pb2.RecordId | record_pb2.Record) -> RID:
        """Return the id that a message of the wire names."""
        return cls(message.cluster, message.position)

    def message(self) -> record_pb2.RecordId:
        """Return the id as it travels."""
        return record_pb2.RecordId(cluster=self.cluster, position=self.position)

    def __str__(self) -> str:
        return f"#{self.cluster}:{self.position}"
