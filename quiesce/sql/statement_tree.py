"""From lark's parse tree to the syntax tree: statements on the schema, and those of the console."""

from __future__ import annotations

from typing import Any

from lark import Token

from quiesce.errors import InvalidStatement
from quiesce.records import RID
from quiesce.sql.console_statements import (
    Browse,
    Connect,
    CreateDatabase,
    Disconnect,
    DisplayRecord,
    DropDatabase,
    Exit,
    Help,
    Info,
    Listing,
    LoadRecord,
    Setting,
    ShowSetting,
    Transfer,
)
from quiesce.sql.expressions import Literal, MapLiteral
from quiesce.sql.record_tree import Clause, Clauses, RecordTree
from quiesce.sql.schema_statements import (
    AlterClass,
    AlterCluster,
    AlterProperty,
    Attributes,
    CreateClass,
    CreateCluster,
    CreateIndex,
    CreateProperty,
    DropClass,
    DropCluster,
    DropIndex,
    DropProperty,
    IndexedField,
)
from quiesce.sql.statements import ClassTarget, ClusterTarget
from quiesce.sql.tree import unquoted


class StatementTree(RecordTree):
    """Builds any statement."""

    # --- schema

    def extends(self, children: list[str]) -> Clause:
        return Clause("EXTENDS", tuple(children))

    def class_clusters(self, children: list[Token]) -> Clause:
        return Clause("CLUSTER", tuple(map(int, children)))

    def abstract(self, _: list[Any]) -> Clause:
        return Clause("ABSTRACT", True)

    def not_exists(self, _: list[Any]) -> Clause:
        return Clause("IF", True)

    def exists(self, _: list[Any]) -> Clause:
        return Clause("IF", True)

    def force(self, _: list[Any]) -> Clause:
        return Clause("FORCE", True)

    def create_class(self, children: list[Any]) -> CreateClass:
        clauses = Clauses.of(children)
        return CreateClass(
            clauses.rest[0],
            clauses.get("EXTENDS", ()),
            clauses.get("CLUSTER", ()),
            abstract=clauses.get("ABSTRACT", False),
            if_not_exists=clauses.get("IF", False),
        )

    def alter_class(self, children: list[Any]) -> AlterClass:
        name, attribute, value = children
        return AlterClass(name, attribute.upper(), value)

    def drop_class(self, children: list[Any]) -> DropClass:
        clauses = Clauses.of(children)
        return DropClass(clauses.rest[0], if_exists=clauses.get("IF", False), unsafe=clauses.get("UNSAFE", False))

    def linked(self, children: list[str]) -> Clause:
        return Clause("linked", children[0])

    def attributes(self, children: list[tuple[str, str | None]]) -> Clause:
        return Clause("attributes", tuple(children))

    def attribute(self, children: list[Any]) -> tuple[str, str | None]:
        # MANDATORY alone means that it is so.
        return children[0].upper(), children[1] if len(children) == 2 else "true"

    def attribute_value(self, children: list[str | None]) -> str | None:
        return children[0] if len(children) == 1 else "=".join("" if part is None else part for part in children)

    def word_value(self, children: list[str]) -> str:
        return children[0]

    def null_value(self, _: list[Any]) -> None:
        return None

    def true_value(self, _: list[Any]) -> str:
        return "true"

    def false_value(self, _: list[Any]) -> str:
        return "false"

    def signed_word(self, children: list[Any]) -> str:
        return "".join(children)

    def number_value(self, children: list[Any]) -> str:
        *sign, number = children
        return "".join(sign) + str(number.value)

    def text_value(self, children: list[Token]) -> str:
        return unquoted(children[0])

    def create_property(self, children: list[Any]) -> CreateProperty:
        clauses = Clauses.of(children)
        class_name, name, kind = clauses.rest
        attributes: Attributes = clauses.get("attributes", ())
        return CreateProperty(
            class_name, name, kind.upper(), clauses.get("linked"), attributes, if_not_exists=clauses.get("IF", False)
        )

    def alter_property(self, children: list[Any]) -> AlterProperty:
        class_name, name, attribute, value = children
        return AlterProperty(class_name, name, attribute.upper(), value)

    def drop_property(self, children: list[Any]) -> DropProperty:
        clauses = Clauses.of(children)
        class_name, name = clauses.rest
        return DropProperty(class_name, name, if_exists=clauses.get("IF", False), force=clauses.get("FORCE", False))

    def create_cluster(self, children: list[Any]) -> CreateCluster:
        clauses = Clauses.of(children)
        name, *number = clauses.rest
        return CreateCluster(name, int(number[0]) if number else None, if_not_exists=clauses.get("IF", False))

    def alter_cluster(self, children: list[Any]) -> AlterCluster:
        name, attribute, value = children
        return AlterCluster(name, attribute.upper(), value)

    def drop_cluster(self, children: list[Any]) -> DropCluster:
        clauses = Clauses.of(children)
        return DropCluster(clauses.rest[0], if_exists=clauses.get("IF", False))

    def dotted(self, children: list[str]) -> str:
        return ".".join(children)

    def indexed(self, children: list[Any]) -> IndexedField:
        name, *rest = children
        by = [str(part).upper() for part in rest if isinstance(part, Token)]
        collate = [part for part in rest if not isinstance(part, Token)]
        return IndexedField(name, by[0] if by else "", collate[0].lower() if collate else "")

    def index_on(self, children: list[Any]) -> Clause:
        return Clause("ON", (children[0], tuple(children[1:])))

    def key_types(self, children: list[str]) -> Clause:
        return Clause("key types", tuple(children))

    def metadata(self, children: list[MapLiteral]) -> Clause:
        return Clause("METADATA", children[0])

    def create_index(self, children: list[Any]) -> CreateIndex:
        clauses = Clauses.of(children)
        name, kind = clauses.rest
        class_name, fields = clauses.get("ON", (None, ()))
        metadata = clauses.get("METADATA")
        known = {"ignorenullvalues": False}
        for key, value in metadata.entries if metadata is not None else ():
            if key.lower() not in known or not isinstance(value, Literal) or not isinstance(value.value, bool):
                raise InvalidStatement(line=1, column=1, found=key, expected="ignoreNullValues: true or false")
            known[key.lower()] = value.value
        return CreateIndex(
            name,
            kind.upper(),
            class_name,
            fields,
            ignore_nulls=known["ignorenullvalues"],
            if_not_exists=clauses.get("IF", False),
        )

    def drop_index(self, children: list[Any]) -> DropIndex:
        clauses = Clauses.of(children)
        return DropIndex(clauses.rest[0], if_exists=clauses.get("IF", False))

    # --- console

    def connect(self, children: list[Token]) -> Connect:
        return Connect(_database(children[0]))

    def use(self, children: list[str]) -> Connect:
        return Connect(children[0])

    def disconnect(self, _: list[Any]) -> Disconnect:
        return Disconnect()

    def create_database(self, children: list[Token]) -> CreateDatabase:
        return CreateDatabase(_database(children[0]))

    def drop_database(self, children: list[str]) -> DropDatabase:
        return DropDatabase(children[0] if children else None)

    def listing(self, children: list[Token]) -> Listing:
        what = children[0].upper()
        return Listing("CLUSTERS" if what == "COLLECTIONS" else what)

    def info(self, _: list[Any]) -> Info:
        return Info()

    def info_class(self, children: list[str]) -> Info:
        return Info("CLASS", children[0])

    def info_property(self, children: list[str]) -> Info:
        return Info("PROPERTY", ".".join(children))

    def info_cluster(self, children: list[str]) -> Info:
        return Info("CLUSTER", children[0])

    def info_index(self, children: list[str]) -> Info:
        return Info("INDEX", children[0])

    def browse_class(self, children: list[Any]) -> Browse:
        return Browse(ClassTarget(children[0]), int(children[1]) if len(children) == 2 else None)

    def browse_cluster(self, children: list[Any]) -> Browse:
        return Browse(ClusterTarget(children[0]), int(children[1]) if len(children) == 2 else None)

    def load_record(self, children: list[Token]) -> LoadRecord:
        return LoadRecord(RID.parse(children[0]))

    def display_record(self, children: list[Token]) -> DisplayRecord:
        return DisplayRecord(int(children[0]))

    def export(self, children: list[Token]) -> Transfer:
        return _transfer("EXPORT", children)

    def import_(self, children: list[Token]) -> Transfer:
        return _transfer("IMPORT", children)

    def backup(self, children: list[Token]) -> Transfer:
        return _transfer("BACKUP", children)

    def restore(self, children: list[Token]) -> Transfer:
        return _transfer("RESTORE", children)

    def check(self, children: list[Token]) -> Transfer:
        return _transfer("CHECK", children)

    def setting(self, children: list[Any]) -> Setting:
        return Setting(children[0].lower(), children[1] or "")

    def show_setting(self, children: list[str]) -> ShowSetting:
        return ShowSetting(children[0].lower())

    def help(self, children: list[Token]) -> Help:
        return Help(" ".join(children[0].upper().split()) if children else "")

    def exit(self, _: list[Any]) -> Exit:
        return Exit()


def _transfer(verb: str, children: list[Token]) -> Transfer:
    return Transfer(verb, children[0].upper(), str(children[1]) if len(children) == 2 else "")


def _database(arguments: str) -> str:
    """Return the name out of `remote:host/name user password`, or of `name` alone."""
    url = arguments.split(maxsplit=1)[0]
    return url.rstrip("/").rpartition("/")[2].rpartition(":")[2]
