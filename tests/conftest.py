"""What all tests share: where the project is, and the folder of facts and real exports beside it."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Tests start processes: gRPC would wait for its threads to be idle before each, up to a minute.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# In the background of a shell Ctrl-C is ignored, and would be by all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A build that was green stays green: elsewhere each run tries other examples.
settings.register_profile("ci", derandomize=True, deadline=None)
# How long an example takes says what else the machine does.
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def project_root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `../shared`; a test that needs it is skipped where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: real export files are not here")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below tests/scenarios starts real processes, below tests/interop the real OrientDB; marked so."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "interop"):
            item.add_marker("interop")
        if item.path.is_relative_to(ROOT / "tests" / "scenarios"):
            item.add_marker("scenario")
