"""One export on its way through Quiesce and OrientDB, both ways, compared at each step."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from quiesce import AsyncClient, Client
from quiesce.orientdb import Difference, Differences, compare_exports, survey
from quiesce.orientdb.compare import compare_with_database
from quiesce.orientdb.layout import EXPORTER_VERSION
from tests.interop.engine import Engine, EngineFailed
from tests.interop.limits import Side, explanation
from tests.scenarios.cli import quiesce
from tests.scenarios.cluster import Cluster

COMMAND_S = 300
# Of what no rule explains.
LISTED = 20
OPTIONS = "-preserveRids=true"


@dataclass(slots=True)
class Passage:
    """What became of one export."""

    name: str
    # Who wrote it.
    engine: str = "Quiesce"
    exporter: int = EXPORTER_VERSION
    records: int = 0
    # Between the file and Quiesce's database, and between that and Quiesce's own export.
    changed_by_quiesce: list[Difference] = field(default_factory=list)
    # Records that OrientDB's import and export changed, apart from their versions, left out or added.
    changed: set[str] = field(default_factory=set)
    # What OrientDB changed, by the limit that explains it.
    limits: Counter[str] = field(default_factory=Counter)
    unexplained: list[Difference] = field(default_factory=list)
    unexplained_count: int = 0
    # Why OrientDB does not take the file at all, in its words.
    refused: str = ""
    # Between OrientDB's export and what Quiesce made of it.
    changed_on_the_way_back: list[Difference] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing was lost that OrientDB's limits do not explain."""
        wrong = self.changed_by_quiesce or self.unexplained or self.refused or self.changed_on_the_way_back
        return not wrong


class Passages:
    """Carries exports through a cluster and an engine; files are written below `folder`."""

    def __init__(self, cluster: Cluster, engine: Engine, folder: Path) -> None:
        self._cluster = cluster
        self._engine = engine
        self._folder = folder

    def file(self, path: Path) -> Passage:
        """Carry an export through everything."""
        info = survey(path).info
        passage = Passage(path.name, info.engine_version.partition(" ")[0], info.exporter_version)
        self.bring_in(path, "passage")
        passage.changed_by_quiesce = self._against_database(path, "passage")
        try:
            ours = self.take_out("passage")
        finally:
            self.drop("passage")
        passage.changed_by_quiesce += compare_exports(path, ours).listed
        self.through_engine(ours, passage)
        return passage

    def database(self, name: str) -> Passage:
        """Carry a database that is in the cluster through OrientDB, and back."""
        passage = Passage(name)
        self.through_engine(self.take_out(name), passage)
        return passage

    def through_engine(self, ours: Path, passage: Passage) -> None:
        """Let OrientDB import and export a file; bring that back into Quiesce."""
        theirs = self._folder / f"{ours.name.partition('.')[0]}-orientdb.json.gz"
        theirs.unlink(missing_ok=True)
        with self._engine.database("passage", storage="MEMORY"):
            try:
                self._engine.import_file("passage", ours, OPTIONS)
                self._engine.export_file("passage", theirs)
            except EngineFailed as error:
                passage.refused = str(error)
                return
        side = Side(survey(ours), passage.exporter)
        passage.records = side.survey.records

        def explain(difference: Difference) -> None:
            if difference.what == "record" and difference.path != "@version":
                passage.changed.add(difference.name)
            limit = explanation(difference, side)
            if limit is not None:
                passage.limits[limit] += 1
                return
            passage.unexplained_count += 1
            if len(passage.unexplained) < LISTED:
                passage.unexplained.append(difference)

        compare_exports(ours, theirs, found=Differences(each=explain))
        self.bring_in(theirs, "back")
        passage.changed_on_the_way_back = self._against_database(theirs, "back")
        try:
            again = self.take_out("back")
        finally:
            self.drop("back")
        passage.changed_on_the_way_back += compare_exports(theirs, again).listed

    def bring_in(self, path: Path, name: str) -> None:
        """Import a file."""
        self._run("import", str(path), "--database", name)

    def take_out(self, name: str) -> Path:
        """Export a database."""
        path = self._folder / f"{name}.json.gz"
        self._run("export", name, str(path), "--overwrite")
        return path

    def drop(self, name: str) -> None:
        """Remove a database."""
        with self.client() as client:
            client.drop_database(name)

    def client(self) -> Client:
        """Return a client of the cluster."""
        return self._cluster.client()

    def _run(self, *arguments: str) -> None:
        answer = quiesce(*arguments, "--cluster", self._cluster.addresses, timeout_s=COMMAND_S)
        assert answer.code == 0, f"quiesce {' '.join(arguments)}: {answer.error}"

    def _against_database(self, path: Path, name: str) -> list[Difference]:
        async def compared() -> list[Difference]:
            async with AsyncClient(self._cluster.addresses, timeout_s=60) as client:
                return (await compare_with_database(path, client, name)).listed

        return asyncio.run(compared())
