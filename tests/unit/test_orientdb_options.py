"""quiesce.orientdb.options: what stands behind the file in OrientDB's IMPORT DATABASE."""

import pytest

from quiesce.errors import InvalidRequest
from quiesce.orientdb import ImportOptions, OnError, parse_import_options


def test_nothing_is_the_defaults() -> None:
    assert parse_import_options("") == ImportOptions()


def test_names_are_read_in_any_case_and_lists_in_quotes() -> None:
    options = parse_import_options(
        "-MERGE=true -preserveRids=false -preserveclusterids=FALSE -migrateLinks=false -deleteRIDMapping=false "
        "-includeClass=\"City Country\" -excludeCluster='city_1,city_2' -ignoreFailedRecords=true"
    )
    assert options == ImportOptions(
        merge=True,
        preserve_rids=False,
        preserve_cluster_ids=False,
        migrate_links=False,
        delete_rid_mapping=False,
        include_classes=frozenset({"City", "Country"}),
        exclude_clusters=frozenset({"city_1", "city_2"}),
        on_error=OnError.SKIP,
    )


def test_a_bare_switch_is_true() -> None:
    assert parse_import_options("-merge").merge


def test_what_changes_nothing_here_is_said() -> None:
    options = parse_import_options("-rebuildIndexes=false -format=orientdb -includeSecurity=true")
    assert options == ImportOptions()
    assert [one.split(":")[0] for one in options.without_effect] == ["-rebuildIndexes", "-format", "-includeSecurity"]


@pytest.mark.parametrize(
    "text", ["-mrege=true", "-merge=yes", "-format=graphml", "merge=true", "-includeClass=", '-includeClass="a', "-"]
)
def test_what_orientdb_would_ignore_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_import_options(text)
