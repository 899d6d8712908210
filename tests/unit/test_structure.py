"""scripts/check_structure.py: that the check itself sees what it is there to see."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_structure", ROOT / "scripts" / "check_structure.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("quiesce/client/a.py", "from nodes.store import Store\n", "quiesce must not import nodes"),
        ("quiesce/a.py", "def f():\n    import coordinator.jobs\n", "quiesce must not import coordinator"),
        ("nodes/a.py", "import coordinator\n", "nodes must not import coordinator"),
        ("coordinator/a.py", "from nodes import config\n", "coordinator must not import nodes"),
        ("nodes/a.py", "import grpc.aio\nx = grpc.aio.insecure_channel('a')\n", "made by quiesce.rpc only"),
        ("nodes/a.py", "x = 1\n" * 401, "400 at most"),
    ],
)
def test_complains(check: ModuleType, path: str, source: str, complaint: str) -> None:
    assert complaint in "\n".join(check.complaints(ROOT / path, source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("nodes/a.py", "from quiesce.errors import QuiesceError\n"),
        ("coordinator/a.py", "import quiesce.client\n"),
        ("quiesce/rpc/a.py", "import grpc.aio\nx = grpc.aio.server()\n"),
        ("nodes/a.py", "x = 1\n" * 400),
        ("nodes/nodes.py", "from . import store\n"),
    ],
)
def test_lets_pass(check: ModuleType, path: str, source: str) -> None:
    assert list(check.complaints(ROOT / path, source)) == []
