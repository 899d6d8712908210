import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from nodes.store.engine import META, RECORDS
from tests.simulation.disk import PowerLoss, SimulatedDisk
from tests.simulation.engine import SimulatedEngine
from tests.simulation.files import SimulatedFiles
from tests.simulation.world import simulate

ROOT = Path("/disk")
SEEDS = range(1, 41)


@pytest.fixture(scope="module")
def counts() -> Counter[str]:
    total: Counter[str] = Counter()
    for seed in SEEDS:
        result = simulate(seed, 3000)
        assert result.broken is None, f"seed {seed}: {result.broken}"
        total += result.counts
    return total


def test_the_runs_reach_what_they_are_there_to_test(counts):
    assert counts["crashes"] > len(SEEDS)
    assert counts["terms"] > len(SEEDS)
    assert counts["writes"] > 10 * len(SEEDS)
    assert counts["reads"] > 5 * len(SEEDS)
    for rare in (
        "second tries",
        "unknown",
        "refusals",
        "partitions",
        "disk errors",
        "checkpoints",
        "installs",
        "marks",
    ):
        assert counts[rare] > 0, f"no {rare} in {counts}"


def trace(seed: int, hash_seed: int, project_root: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "tests.simulation",
        "--first",
        str(seed),
        "--seeds",
        "1",
        "--steps",
        "1500",
        "--trace",
    ]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(project_root)}
    done = subprocess.run(command, cwd=project_root, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.rpartition("1 seeds in ")[0]


def test_a_seed_is_the_same_run_whatever_the_interpreter_hashes(project_root):
    for seed in (7, 26):
        first = trace(seed, 1, project_root)
        assert len(first.splitlines()) > 1000
        assert trace(seed, 2, project_root) == first


# --- the disk: what it may lose is what the rest relies on


def disk(seed: int = 0) -> SimulatedDisk:
    return SimulatedDisk(ROOT, random.Random(seed))


def written(one: SimulatedDisk, name: str, data: bytes, *, sync: bool) -> Path:
    path = ROOT / name
    descriptor = one.create(path)
    one.write(descriptor, data, path)
    if sync:
        one.sync(descriptor, path)
    return path


def test_a_synced_file_loses_its_name_unless_its_directory_is_synced():
    found = set()
    for seed in range(50):
        one = disk(seed)
        path = written(one, "a", b"x" * 10, sync=True)
        one.crash(power=True)
        found.add(path in one.names)
    assert found == {True, False}
    one = disk()
    path = written(one, "a", b"x" * 10, sync=True)
    one.sync_directory(ROOT)
    one.crash(power=True)
    assert one.read(path) == b"x" * 10


def test_what_was_not_synced_is_lost_kept_or_torn():
    outcomes = set()
    for seed in range(300):
        one = disk(seed)
        path = written(one, "a", b"a" * 100, sync=True)
        one.sync_directory(ROOT)
        one.write(one.open(path), b"b" * 1000, path)
        one.crash(power=True)
        data = one.read(path)
        assert data[:100] == b"a" * 100
        rest = data[100:]
        outcomes.add("torn" if b"\0" in rest else "short" if 0 < len(rest) < 1000 else len(rest))
    assert outcomes == {"torn", "short", 0, 1000}


def test_a_killed_process_loses_nothing():
    one = disk()
    path = written(one, "a", b"x", sync=False)
    one.crash(power=False)
    assert one.read(path) == b"x"


def test_names_of_one_directory_survive_in_order():
    for seed in range(100):
        one = disk(seed)
        for name in "abc":
            written(one, name, b"", sync=True)
        one.sync_directory(ROOT)
        for name in "abc":
            one.remove(ROOT / name)
        one.crash(power=True)
        left = "".join(sorted(path.name for path in one.names if path != ROOT))
        assert "abc".endswith(left)


def test_the_power_is_lost_at_the_operation_that_was_named():
    one = disk()
    one.power = 1
    descriptor = one.create(ROOT / "a")
    with pytest.raises(PowerLoss):
        one.write(descriptor, b"x", ROOT / "a")


def put(engine: SimulatedEngine, key: bytes, value: bytes) -> None:
    batch = engine.new_batch()
    for family in (RECORDS, META):
        engine.target(batch, family)
        batch[key] = value
    engine.write(batch)


def test_a_store_keeps_whole_writes_from_the_oldest_on():
    found = set()
    for seed in range(100):
        one = disk(seed)
        files = SimulatedFiles(one)
        engine = files.open_engine(ROOT / "store")
        one.sync_directory(ROOT)
        for number in range(5):
            put(engine, bytes((number,)), b"v")
            if number == 1:
                engine.sync()
        one.crash(power=True)
        again = files.open_engine(ROOT / "store")
        keys = [[key for key, _ in again.scan(family, b"", b"\xff")] for family in (RECORDS, META)]
        assert keys[0] == keys[1] == [bytes((number,)) for number in range(len(keys[0]))]
        found.add(len(keys[0]))
    assert found == {2, 3, 4, 5}


def test_deleting_a_range_leaves_what_the_batch_puts_afterwards():
    engine = SimulatedFiles(disk()).open_engine(ROOT / "store")
    for key in (b"a", b"b", b"c"):
        put(engine, key, b"1")
    batch = engine.new_batch()
    engine.delete_range(batch, RECORDS, b"a", b"c")
    engine.target(batch, RECORDS)
    batch[b"b"] = b"2"
    engine.write(batch)
    assert dict(engine.scan(RECORDS, b"", b"\xff")) == {b"b": b"2", b"c": b"1"}
