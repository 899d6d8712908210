"""RocksDB's own logs: every flipped bit is found, and what a crash cuts short is no damage."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from nodes.store.engine import FAMILIES, META, Engine
from nodes.store.manifest import check_manifest, manifest_of
from nodes.store.rocksdb_log import masked_crc32c, read_log
from quiesce.errors import DamagedStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RocksDB directory as a killed node leaves it: tables, and a WAL with more."""
    directory = tmp_path_factory.mktemp("store") / "db"
    engine = Engine(directory)
    for number in range(40):
        batch = engine.new_batch()
        for family in FAMILIES:
            engine.target(batch, family)
            batch[b"key %d" % number] = random.Random(number).randbytes(2_000)
        engine.write(batch)
        if number in (10, 20):
            engine.flush()
    engine.sync()
    copied = directory.with_name("killed")
    shutil.copytree(directory, copied)
    return copied


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(store, tmp_path / "db"))


def wal(directory: Path) -> Path:
    return max(directory.glob("*.log"), key=lambda path: path.stat().st_size)


def test_the_checksum_is_that_of_rocksdb() -> None:
    # The test vector of RFC 3720, masked.
    assert masked_crc32c(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_what_rocksdb_wrote_is_sound(store: Path) -> None:
    end = check_manifest(store)
    assert end is not None
    assert end.at == manifest_of(store).stat().st_size  # type: ignore[union-attr]
    data = wal(store).read_bytes()
    assert len(data) > 5 * 32_768
    assert read_log(data) == type(end)(read_log(data).records, len(data))


def lengths(data: bytes) -> list[int]:
    """Return where the length of each record stands."""
    found, at = [], 0
    while at < len(data):
        found.append(at + 4)
        at += 7 + int.from_bytes(data[at + 4 : at + 6], "little")
    return found


def test_flipped_bits_of_a_manifest_are_found_before_rocksdb_sees_it(copy: Path) -> None:
    manifest = manifest_of(copy)
    assert manifest is not None
    sound = manifest.read_bytes()
    bits = {bit for at in lengths(sound) for bit in range(8 * at, 8 * at + 16)} | set(range(0, 8 * len(sound), 11))
    for bit in sorted(bits):
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        assert read_log(bytes(flipped)).damage, f"bit {bit % 8} of byte {bit // 8}"
    flipped = bytearray(sound)
    # RocksDB takes a record that is too long for a torn one, and would miss the files of the last flush.
    flipped[lengths(sound)[-2] + 1] ^= 0x10
    manifest.write_bytes(flipped)
    with pytest.raises(DamagedStore, match=rf"{manifest.name}.* at byte"):
        Engine(copy)


def test_a_manifest_that_a_crash_cut_short_is_opened(copy: Path) -> None:
    manifest = manifest_of(copy)
    assert manifest is not None
    sound = manifest.read_bytes()
    for size in range(1, len(sound)):
        assert read_log(sound[:size]).damage is None
    # Nothing counted on the last record: the WAL that it would have made superfluous is there.
    manifest.write_bytes(sound + sound[:5])
    Engine(copy).close()


def test_flipped_bits_of_a_wal_are_found(store: Path) -> None:
    sound = wal(store).read_bytes()
    rng = random.Random(7)
    for _ in range(12):
        bit = rng.randrange(8 * len(sound))
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        assert read_log(bytes(flipped)).damage, f"bit {bit % 8} of byte {bit // 8}"


def test_a_store_with_a_damaged_wal_is_an_earlier_one_and_a_checkpoint_is_none(copy: Path, tmp_path: Path) -> None:
    path = wal(copy)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 4
    path.write_bytes(damaged)
    with pytest.raises(DamagedStore):
        Engine(copy, read_only=True, whole=True)
    engine = Engine(copy)
    there = [int(key.split()[1]) for key, _ in engine.scan(META, b"", b"\xff")]
    assert sorted(there) == list(range(len(there)))
    assert 20 < len(there) < 40
    for family in FAMILIES:
        assert sum(1 for _ in engine.scan(family, b"", b"\xff")) == len(there)
    engine.close()


@pytest.mark.parametrize("content", [b"", b"MANIFEST-000001", b"MANIFEST-000099\n", b"NANIFEST-000001\n"])
def test_a_damaged_current_begins_no_empty_store(copy: Path, content: bytes) -> None:
    (copy / "CURRENT").write_bytes(content)
    with pytest.raises(DamagedStore, match="CURRENT"):
        Engine(copy)
    (copy / "CURRENT").unlink()
    with pytest.raises(DamagedStore, match="CURRENT is missing"):
        Engine(copy)
    assert list(copy.glob("*.sst"))
