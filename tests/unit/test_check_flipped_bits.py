"""A flipped bit anywhere: the examination names the file, and a start refuses or has everything right.

`FLIPS=2000 pytest ...` tries more than a run of the suite can.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from check_directories import Killed, killed_node, started
from state_entries import content

from nodes.check import examine
from nodes.check.findings import Findings
from nodes.check.raft_log import examine_log
from nodes.check.rocksdb import NOT_DATA
from nodes.data_directory import DataDirectory
from nodes.identity import read_identity
from nodes.store.current import directory_in_use
from nodes.store.manifest import check_manifest
from quiesce.errors import QuiesceError
from quiesce.snapshot import MalformedObject

FLIPS = int(os.environ.get("FLIPS", "24"))
# Empty, or about nothing: who holds it has locked it.
MEANS_NOTHING = ("lock",)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    return killed_node(tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def truth(killed: Killed, tmp_path_factory: pytest.TempPathFactory) -> object:
    copy = Path(shutil.copytree(killed.path, tmp_path_factory.mktemp("truth") / "node"))
    state = started(copy)
    try:
        return content(state.store, progress=True)
    finally:
        state.close()


def files(directory: Path) -> list[Path]:
    found = [path.relative_to(directory) for path in sorted(directory.rglob("*")) if path.is_file()]
    return [
        path
        for path in found
        if path.name not in MEANS_NOTHING
        and not (path.parts[0] in ("store", "checkpoints") and len(path.parts) > 2 and NOT_DATA.fullmatch(path.name))
    ]


def flip(path: Path, bit: int) -> None:
    """Change one bit of a copy: never of a file that another name has as well."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.unlink()
    path.write_bytes(data)


def copied(killed: Killed, target: Path) -> Path:
    """Copy the directory; tables that stay whole are linked, as are those that a checkpoint shares with the store."""

    def copy(source: str, path: str) -> str:
        if source.endswith(".sst"):
            os.link(source, path)
        else:
            shutil.copyfile(source, path)
        return path

    return Path(shutil.copytree(killed.path, target, copy_function=copy))


def test_what_was_examined_is_all_there_is(killed: Killed) -> None:
    kinds = {path.parts[0] if len(path.parts) == 1 else path.parts[0] + path.suffix for path in files(killed.path)}
    assert kinds >= {"identity.json", "mark", "raft.log", "store.sst", "store.log", "store", "checkpoints.sst"}
    assert len(list((killed.path / "raft").glob("*.log"))) > 3
    assert len(list((killed.path / "store").rglob("*.sst"))) > 4


def test_bits_of_what_is_not_the_stores_own(killed: Killed, tmp_path: Path) -> None:
    node = copied(killed, tmp_path / "node")
    data = DataDirectory(node)

    def refused(path: Path) -> bool:
        if path.name.startswith("MANIFEST") or (path.name == "CURRENT" and path.parent.name != "store"):
            check_manifest(path.parent)
        elif path.name == "CURRENT":
            directory_in_use(path.parent)
        elif path.name == "mark":
            data.read_mark()
        else:
            read_identity(node)
        return False

    small = [path for path in files(node) if path.suffix not in (".sst", ".log")]
    assert {path.name.rstrip("0123456789") for path in small} == {"CURRENT", "MANIFEST-", "identity.json", "mark"}
    for name in small:
        path = node / name
        sound = path.read_bytes()
        step = 1 if len(sound) < 100 else 5 if len(sound) < 1000 else 61
        for bit in range(0, 8 * len(sound), step):
            flip(path, bit)
            with pytest.raises((QuiesceError, MalformedObject)):
                refused(path)
            flip(path, bit)


def test_bits_of_the_log(killed: Killed, tmp_path: Path) -> None:
    node = copied(killed, tmp_path / "node")
    rng = random.Random(3)
    for path in sorted((node / "raft").glob("*.log")):
        for bit in rng.sample(range(8 * path.stat().st_size), FLIPS):
            flip(path, bit)
            findings = Findings()
            _, recovered = examine_log(node / "raft", findings)
            assert recovered is None
            assert [finding.where for finding in findings.listed] == [str(path)], f"bit {bit} of {path.name}"
            flip(path, bit)


def test_bits_of_tables_and_wals(killed: Killed, truth: object, tmp_path: Path) -> None:
    rng = random.Random(FLIPS)
    candidates = [path for path in files(killed.path) if path.parts[0] != "raft" and path.suffix in (".sst", ".log")]
    candidates = [path for path in candidates if (killed.path / path).stat().st_size]
    for number in range(FLIPS):
        name = candidates[number % len(candidates)]
        # Half of them in the last part, where what is not data stands.
        size = 8 * (killed.path / name).stat().st_size
        bit = rng.randrange(size) if number % 2 else rng.randrange(max(0, size - 8 * 1100), size)
        node = copied(killed, tmp_path / str(number))
        flip(node / name, bit)
        what = f"bit {bit} of {name}"
        found = examine(DataDirectory(node), deep=True, progress=lambda *_: None).findings
        assert any(str(name) in finding.where for finding in found.listed), (what, found.listed)
        problem = wrong(node, truth)
        assert problem is None, f"{what}: {problem}"
        shutil.rmtree(node)


def wrong(node: Path, truth: object) -> str | None:
    """Start a node on its directory, and return what is wrong with what it then holds: to refuse is right."""
    try:
        state = started(node)
    except QuiesceError as error:
        return None if error.exit_code in (71, 72, 73) else str(error)
    try:
        return None if content(state.store, progress=True) == truth else "it serves something else"
    except QuiesceError as error:
        return None if error.exit_code == 73 else str(error)
    finally:
        state.close()
