"""The users and roles that OrientDB wants in a file, for a database that has none: a role and, with a password, a user.

Without them its importer, with `-preserveRids=true`, ends at a class that it does not find, and otherwise leaves a
database that nobody can log in to.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from quiesce.orientdb.engine_versions import Engine
from quiesce.orientdb.escapes import quoted
from quiesce.v1.database_pb2 import (
    ClassDefinition,
    Cluster,
    Database,
    IndexDefinition,
    IndexField,
    PropertyDefinition,
)

USER: Final = "admin"
# As OrientDB hashes a password: OSecurityManager.createHashWithSalt.
_ITERATIONS: Final = 65_536
_HASH_BYTES: Final = 24
_RESOURCES: Final = (
    "*", "database", "database.bypassRestricted", "database.class", "database.cluster", "database.command",
    "database.command.gremlin", "database.function", "database.schema", "database.systemclusters",
)  # fmt: skip
_RIGHTS: Final = ("create", "read", "beforeUpdate", "afterUpdate", "delete", "execute")


@dataclass(frozen=True, slots=True)
class Security:
    """A database with users, and the records that it has not: cluster, position, body."""

    database: Database
    records: tuple[tuple[int, int, bytes], ...]


def has_security(database: Database) -> bool:
    """Whether there are roles already."""
    return any(one.name.lower() == "orole" for one in database.classes)


def with_security(database: Database, engine: Engine, password: str | None) -> Security:
    """Return the database with the role `admin`, and with a user of that name where there is a password for it."""
    grown = Database()
    grown.CopyFrom(database)
    policies = not engine.fixed_clusters
    first = max((one.id for one in database.clusters), default=-1) + 1
    names = [*(["OSecurityPolicy"] if policies else []), "ORole", "OUser"]
    ids = {name: first + place for place, name in enumerate(names)}
    counts = {"OSecurityPolicy": 1, "ORole": 1, "OUser": int(password is not None)}
    grown.clusters.extend(Cluster(id=ids[name], name=name.lower(), records=counts[name]) for name in names)
    grown.classes.append(ClassDefinition(name="OIdentity", abstract=True))
    if policies:
        properties = [_name(), PropertyDefinition(name="active", type="BOOLEAN")]
        properties += [PropertyDefinition(name=one, type="STRING") for one in _RIGHTS]
        grown.classes.append(_class("OSecurityPolicy", ids, properties))
    role = [
        _name(),
        PropertyDefinition(name="mode", type="BYTE"),
        PropertyDefinition(name="inheritedRole", type="LINK", linked_class="ORole"),
        PropertyDefinition(name="rules", type="EMBEDDEDMAP", linked_type="BYTE"),
    ]
    if policies:
        role.append(PropertyDefinition(name="policies", type="LINKMAP", linked_class="OSecurityPolicy"))
    user = [
        _name(),
        PropertyDefinition(name="password", type="STRING", mandatory=True, not_null=True),
        PropertyDefinition(name="roles", type="LINKSET", linked_class="ORole"),
        PropertyDefinition(name="status", type="STRING", mandatory=True, not_null=True),
    ]
    grown.classes.append(_class("ORole", ids, role, "OIdentity"))
    grown.classes.append(_class("OUser", ids, user, "OIdentity"))
    grown.indexes.extend(_index(name) for name in names)
    return Security(grown, tuple(_records(database, ids, password)))


def _records(database: Database, ids: dict[str, int], password: str | None) -> list[tuple[int, int, bytes]]:
    rules = ",".join(f'"{one}":31' for one in _RESOURCES)
    role = '"@class":"ORole","name":"admin","mode":1,"inheritedRole":null,"rules":{' + rules + "}"
    found = []
    if "OSecurityPolicy" in ids:
        rights = ",".join(f'"{one}":"true"' for one in _RIGHTS)
        found.append((ids["OSecurityPolicy"], '"@class":"OSecurityPolicy","name":"default_31",' + rights))
        role += f',"policies":{{"*":"#{ids["OSecurityPolicy"]}:0"}}'
    found.append((ids["ORole"], role))
    if password is not None:
        hashed = quoted(_hashed(password, database))
        user = f'"@class":"OUser","name":"{USER}","password":{hashed},"status":"ACTIVE"'
        found.append((ids["OUser"], f'{user},"roles":["#{ids["ORole"]}:0"],"@fieldTypes":"roles=n"'))
    return [(cluster, 0, b"{" + body.encode("ascii") + b"}") for cluster, body in found]


def _hashed(password: str, database: Database) -> str:
    # Not of the password, which it would give away; the same for the same database, as are all bytes of an export.
    salt = hashlib.sha256(f"quiesce {database.id} {database.name}".encode()).digest()[:_HASH_BYTES]
    found = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS, _HASH_BYTES)
    return f"{{PBKDF2WithHmacSHA256}}{found.hex().upper()}:{salt.hex().upper()}:{_ITERATIONS}"


def _name() -> PropertyDefinition:
    return PropertyDefinition(name="name", type="STRING", mandatory=True, not_null=True, collate="ci")


def _class(name: str, ids: dict[str, int], properties: list[PropertyDefinition], *supers: str) -> ClassDefinition:
    return ClassDefinition(
        name=name,
        super_classes=supers,
        cluster_ids=[ids[name]],
        default_cluster_id=ids[name],
        properties=sorted(properties, key=lambda one: one.name),
    )


def _index(class_name: str) -> IndexDefinition:
    field = IndexField(name="name", key_type="STRING", collate="ci", by=IndexField.BY_VALUE)
    return IndexDefinition(
        name=f"{class_name}.name", type="UNIQUE", algorithm="CELL_BTREE", class_name=class_name, fields=[field]
    )
