"""coordinator.transfer: the bounds of its spool, and options that arrive as they were given."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from coordinator.transfer.arguments import import_arguments
from coordinator.transfer.spool import Spool
from coordinator.transfer.work import Work
from quiesce.cli.commands import import_
from quiesce.cli.import_remote import settings_of
from quiesce.errors import DirectoryInUse, FileUnusable, InvalidRequest, TransferRefused
from quiesce.orientdb import ImportOptions, OnError
from quiesce.v1.transfer_pb2 import ImportSettings

OTHERWISE = ImportOptions(
    merge=True,
    preserve_cluster_ids=False,
    preserve_rids=False,
    migrate_links=False,
    delete_rid_mapping=False,
    include_classes=frozenset({"A", "B c"}),
    exclude_classes=frozenset({"--merge"}),
    include_clusters=frozenset({"a"}),
    exclude_clusters=frozenset({"b"}),
    include_records=False,
    include_indexes=False,
    include_manual_indexes=False,
    on_error=OnError.SKIP,
    dry_run=True,
    discard_unfinished=True,
    time_zone="Europe/Rome",
)


@pytest.mark.parametrize("options", [ImportOptions(), OTHERWISE])
def test_options_mean_the_same_at_the_other_end(options: ImportOptions) -> None:
    arguments = import_arguments(ImportSettings.FromString(settings_of(options).SerializeToString()))
    context = import_.command.make_context("import", ["file", "--database=x", *arguments])
    assert import_._options(context, context.params) == options


def test_settings_that_are_absent_are_the_defaults() -> None:
    assert import_arguments(ImportSettings()) == []


def test_every_setting_is_an_option_of_the_command() -> None:
    known = {option for one in import_.command.params if isinstance(one, click.Option) for option in one.opts}
    assert {one.partition("=")[0] for one in import_arguments(settings_of(OTHERWISE))} <= known
    assert len(import_arguments(settings_of(OTHERWISE))) == len(ImportSettings.DESCRIPTOR.fields) + 1


def test_the_bytes_of_all_transfers_are_bounded(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", limit=100, most=5)
    with spool.place() as one, spool.place() as other:
        one.grow(60)
        other.grow(40)
        with pytest.raises(TransferRefused):
            other.grow(1)
        one.grown_to(50)
    with spool.place() as one:
        one.grown_to(100)
        with pytest.raises(TransferRefused):
            one.grown_to(101)


def test_places_are_bounded_and_empty_afterwards(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", limit=100, most=1)
    with spool.place() as place:
        (place.directory / "file").write_bytes(b"x")
        with pytest.raises(TransferRefused), spool.place():
            pass
    assert not place.directory.exists()
    with spool.place():
        pass


def test_what_a_dead_coordinator_left_goes_and_what_another_holds_stays(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    (path / "transfer-old").mkdir(parents=True)
    (path / "other").mkdir()
    spool = Spool(path, limit=100, most=1)
    with spool.place() as place:
        assert sorted(one.name for one in path.iterdir()) == ["other", place.directory.name, "transfers.lock"]
        with pytest.raises(DirectoryInUse), Spool(path, limit=100, most=1).place():
            pass


async def test_errors_of_the_process_arrive_as_they_are(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", limit=100, most=1).place() as place:
        work = Work(place, idle_s=60)
        with pytest.raises(InvalidRequest, match="no-such-option"):
            [line async for line in work.run(["import", "--no-such-option"], file_name="x")]
        missing = str(tmp_path / "missing")
        lines = work.run(["import", missing, "--database=x", "--dry-run"], file_name="theirs.json")
        with pytest.raises(FileUnusable, match=r"theirs\.json cannot be used"):
            [line async for line in lines]
        await work.end()
