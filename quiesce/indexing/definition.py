"""What the definition of an index leaves open, filled in from the property that it is about."""

from __future__ import annotations

from quiesce.indexing.key import KEY_TYPES
from quiesce.v1.database_pb2 import IndexField, PropertyDefinition

_COLLECTIONS = frozenset(("EMBEDDEDLIST", "EMBEDDEDSET", "LINKLIST", "LINKSET", "LINKBAG"))
_MAPS = frozenset(("EMBEDDEDMAP", "LINKMAP"))
_LINKS = frozenset(("LINKLIST", "LINKSET", "LINKBAG", "LINKMAP"))


def complete(part: IndexField, declared: PropertyDefinition | None) -> None:
    """Fill in how a field is indexed, the type of its keys, and how texts are compared."""
    kind = declared.type.upper() if declared else ""
    if part.by == IndexField.BY_UNSPECIFIED:
        part.by = IndexField.BY_VALUE
        if kind in _COLLECTIONS:
            part.by = IndexField.BY_ITEM
        elif kind in _MAPS:
            part.by = IndexField.BY_MAP_KEY
    if not part.key_type:
        part.key_type = kind
        if part.by == IndexField.BY_MAP_KEY:
            part.key_type = "STRING"
        elif part.by == IndexField.BY_ITEM and declared:
            part.key_type = "LINK" if kind in _LINKS else declared.linked_type
    part.key_type = part.key_type.upper()
    if part.key_type not in KEY_TYPES:
        part.key_type = "ANY"
    if not part.collate:
        part.collate = (declared.collate if declared else "") or "default"
