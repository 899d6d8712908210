"""quiesce databases."""

from __future__ import annotations

from typing import Any

import click

from quiesce.cli.options import TIMEOUT_S, cluster_option
from quiesce.cli.output import Output, pass_output
from quiesce.client import Client
from quiesce.errors import DatabaseNotImporting
from quiesce.v1.database_pb2 import Database, DatabaseState, SchemaChange


@click.group(name="databases", invoke_without_command=True)
@cluster_option
@click.pass_context
def command(ctx: click.Context, cluster: str) -> None:
    """List, create, show and drop databases. Without a subcommand: list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_databases, cluster=cluster, everything=False)


@command.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Also those being imported, and Quiesce's own.")
@cluster_option
@pass_output
def list_databases(output: Output, everything: bool, cluster: str) -> None:
    """List the databases."""
    with Client(cluster, timeout_s=TIMEOUT_S) as client:
        databases = client.list_databases(all=everything)
    facts = [_facts(database) for database in databases]
    columns = ("name", "state", ">clusters", ">classes", ">indexes", ">records")
    output.table(columns, [[fact[column.lstrip(">")] for column in columns] for fact in facts], {"databases": facts})


def _facts(database: Database) -> dict[str, Any]:
    return {
        "name": database.name,
        "id": database.id,
        "state": DatabaseState.Name(database.state).removeprefix("DATABASE_STATE_").lower(),
        "clusters": len(database.clusters),
        "classes": len(database.classes),
        "indexes": len(database.indexes),
        "records": sum(cluster.records for cluster in database.clusters),
    }


@command.command()
@click.argument("name")
@cluster_option
@pass_output
def create(output: Output, name: str, cluster: str) -> None:
    """Create a database."""
    with Client(cluster, timeout_s=TIMEOUT_S) as client:
        database = client.create_database(name)
    output.result(_facts(database), f"Database `{name}` is created.")


@command.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@cluster_option
@pass_output
def drop(output: Output, name: str, yes: bool, cluster: str) -> None:
    """Remove a database with all that is in it."""
    with Client(cluster, timeout_s=TIMEOUT_S) as client:
        database = client.database(name)
        if not yes:
            records = _facts(database)["records"]
            click.confirm(f"Drop database `{name}` with its {records:,} records?", abort=True, err=True)
        client.drop_database(name)
    output.result({"name": name}, f"Database `{name}` is dropped.")


@command.command(name="discard-import")
@click.argument("name")
@cluster_option
@pass_output
def discard_import(output: Output, name: str, cluster: str) -> None:
    """Remove what an interrupted import into NAME left; nobody has seen it. A database that is in service stays."""
    with Client(cluster, timeout_s=TIMEOUT_S) as client:
        database = client.database(name)
        left = [one.name for one in database.clusters if one.importing]
        if database.state == DatabaseState.DATABASE_STATE_IMPORTING:
            client.drop_database(name)
        elif left:
            client.alter_schema(name, [SchemaChange(discard_cluster=one) for one in left])
        else:
            raise DatabaseNotImporting(database=name)
    output.result({"name": name, "clusters": left}, f"What an import into `{name}` left is removed.")


@command.command()
@click.argument("name")
@cluster_option
@pass_output
def show(output: Output, name: str, cluster: str) -> None:
    """Show the clusters, classes and indexes of a database."""
    with Client(cluster, timeout_s=TIMEOUT_S) as client:
        database = client.database(name)
    clusters = [{"id": found.id, "name": found.name, "records": found.records} for found in database.clusters]
    classes = [
        {
            "name": found.name,
            "super_classes": list(found.super_classes),
            "properties": {item.name: item.type for item in found.properties},
        }
        for found in database.classes
    ]
    indexes = [
        {
            "name": found.name,
            "type": found.type,
            "class_name": found.class_name,
            "fields": [field.name for field in found.fields],
            "maintained": found.maintained,
        }
        for found in database.indexes
    ]
    facts = {**_facts(database), "clusters": clusters, "classes": classes, "indexes": indexes}
    output.result(facts, _described(database))


def _described(database: Database) -> str:
    lines = [f"Database {database.name} ({_facts(database)['state']})", "", "Clusters"]
    lines += [f"  {found.id:>5}  {found.name}  {found.records:,} records" for found in database.clusters]
    lines += ["", "Classes"]
    for found in database.classes:
        above = f" extends {', '.join(found.super_classes)}" if found.super_classes else ""
        lines.append(f"  {found.name}{above}{' (abstract)' if found.abstract else ''}")
        lines += [f"    {item.name}: {item.type}" for item in found.properties]
    lines += ["", "Indexes"]
    for index in database.indexes:
        fields = ", ".join(field.name for field in index.fields)
        kept = "" if index.maintained else " (definition only)"
        lines.append(f"  {index.name}: {index.type} on {index.class_name} ({fields}){kept}")
    return "\n".join(lines)
