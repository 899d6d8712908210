"""A running OrientDB for the tests beside this, which are skipped where it cannot run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.engine import Engine
from tests.interop.jars import NoEngine
from tests.interop.passage import Passages
from tests.scenarios.cluster import Cluster


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    try:
        running = Engine(tmp_path_factory.mktemp("orientdb"))
    except NoEngine as error:
        pytest.skip(str(error))
    with running:
        yield running


@pytest.fixture(scope="session")
def passages(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passages]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield Passages(cluster, engine, tmp_path_factory.mktemp("files"))
