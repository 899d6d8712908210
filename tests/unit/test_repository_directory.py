from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quiesce.errors import RepositoryFull, RepositoryUnusable
from quiesce.repository import DirectoryStore, ObjectInfo, directory, open_repository
from quiesce.repository.directory import PART_GRACE_S


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "made" / "by" / "it")


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_what_is_put_is_there(store: DirectoryStore) -> None:
    assert store.put_new("a/b/c", b"hello")
    assert store.get("a/b/c") == b"hello"
    assert store.get_range("a/b/c", 1, 3) == b"ell"
    assert store.get_range("a/b/c", 3, 30) == b"lo"
    assert store.size("a/b/c") == 5
    assert list(store.list_objects("a")) == [ObjectInfo("a/b/c", 5)]
    assert list(store.list_objects("x")) == []
    assert files(store.root) == ["a/b/c"]


def test_nothing_is_ever_overwritten(store: DirectoryStore) -> None:
    assert store.put_new("a", b"first")
    assert not store.put_new("a", b"second")
    assert store.get("a") == b"first"
    assert files(store.root) == ["a"]


def test_of_many_writers_one_wins(store: DirectoryStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.put_new("a/b", b"%d" % n), range(40)))
    assert won.count(True) == 1
    assert store.get("a/b") == b"%d" % won.index(True)
    assert files(store.root) == ["a/b"]


def test_without_hard_links_too(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert store.put_new("a", b"first")
    assert not store.put_new("a", b"second")
    assert store.get("a") == b"first"
    assert files(store.root) == ["a"]


@pytest.mark.parametrize("method", ["get", "size"])
def test_what_is_missing(store: DirectoryStore, method: str) -> None:
    with pytest.raises(FileNotFoundError):
        getattr(store, method)("nothing")


@pytest.mark.parametrize("step", ["_write_durably", "_move_new", "_fsync_directory"])
@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, RepositoryFull),
        (errno.EDQUOT, RepositoryFull),
        (errno.EROFS, RepositoryUnusable),
        (errno.EACCES, RepositoryUnusable),
        (errno.EIO, RepositoryUnusable),
    ],
)
def test_a_step_that_fails_leaves_no_object(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, step: str, code: int, error: type[Exception]
) -> None:
    store.put_new("a/before", b"x")
    real = getattr(directory, step)

    def fail(*arguments: object) -> None:
        if step == "_write_durably":
            real(*arguments)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(directory, step, fail)
    with pytest.raises(error, match=os.strerror(code)):
        store.put_new("a/object", b"data")
    monkeypatch.undo()
    # After the name is given only the directory's own fsync is missing: there whole, and put again without harm.
    assert files(store.root) == (["a/before", "a/object"] if step == "_fsync_directory" else ["a/before"])
    store.put_new("a/object", b"data")
    assert store.get("a/object") == b"data"


def test_a_process_that_dies_before_the_name_is_given_leaves_no_object(store: DirectoryStore) -> None:
    script = (
        "import os, sys; from pathlib import Path; from quiesce.repository import DirectoryStore, directory\n"
        "directory._move_new = lambda part, path: os.kill(os.getpid(), 9)\n"
        "DirectoryStore(Path(sys.argv[1])).put_new('a/object', b'data')"
    )
    died = subprocess.run([sys.executable, "-c", script, str(store.root)], check=False)
    assert died.returncode == -9
    assert list(store.list_objects("a")) == []
    (part,) = files(store.root)
    now = (store.root / part).stat().st_mtime
    assert store.clean(now + PART_GRACE_S - 1) == []
    assert store.clean(now + PART_GRACE_S + 1) == [part]
    assert files(store.root) == []


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RepositoryUnusable, match="Not a directory"):
        open_repository(tmp_path / "file" / "below", create=True)
    with pytest.raises(RepositoryUnusable):
        open_repository(tmp_path / "file", create=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RepositoryUnusable, match="Permission denied"):
        open_repository(tmp_path / "repository", create=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = tmp_path / "small"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mounted)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("needs root, and the right to mount a tmpfs of 1 MiB")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    repository = open_repository(small_disk, create=True)
    with pytest.raises(RepositoryFull, match="No space left"):
        repository.objects.put_new("packs/ab/object", bytes(2 << 20))
    assert files(small_disk) == ["format.json"]
    assert repository.objects.put_new("packs/ab/object", b"fits")


def test_data_is_on_disk_before_its_name_and_the_name_before_the_answer(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_new("a/before", b"x")
    steps: list[str] = []
    real_fsync, real_link = os.fsync, os.link

    def fsync(descriptor: int) -> None:
        steps.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().suffix)
        real_fsync(descriptor)

    def link(part: Path, path: Path) -> None:
        steps.append("link")
        real_link(part, path)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    store.put_new("a/object", b"data")
    assert steps[:2] == ["fsync .part", "link"]
    assert "fsync " in steps[2:]
    steps.clear()
    # Whoever comes second must not answer before the first one's name is on disk.
    store.put_new("a/object", b"data")
    assert "fsync " in steps[2:]
