"""Carries every export that is here through Quiesce and OrientDB, and writes docs/interop.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.interop.engine import Engine
from tests.interop.files import ROOT, exports
from tests.interop.jars import NoEngine
from tests.interop.passage import Passages
from tests.interop.table import page
from tests.scenarios.cluster import Cluster


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=__doc__)
    parser.add_argument("--table", type=Path, default=ROOT / "docs" / "interop.md", help="the page to write")
    parser.add_argument("files", type=Path, nargs="*", help="instead of those that are here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quiesce-interop-") as name:
        folder = Path(name)
        try:
            engine = Engine(folder / "orientdb")
        except NoEngine as error:
            print(f"not run: {error}", file=sys.stderr)
            return 0
        found = []
        with engine, Cluster(folder / "cluster") as cluster:
            passages = Passages(cluster, engine, folder)
            for path in arguments.files or exports():
                passage = passages.file(path)
                found.append(passage)
                state = "whole" if passage.whole else "NOT WHOLE"
                print(
                    f"{path.name}: {passage.records:,} records, {len(passage.changed):,} changed, {state}", flush=True
                )
                for one in (*passage.changed_by_quiesce, *passage.unexplained, *passage.changed_on_the_way_back):
                    print(f"  {one}")
                if passage.refused:
                    print(f"  refused: {passage.refused}")
        arguments.table.write_text(page(found, engine.version))
    return 0 if all(one.whole for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
