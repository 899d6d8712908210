"""Checks what keeps the code in pieces: which package may import which, and how long a module may be."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A package of the left never imports one of the right.
FORBIDDEN = {
    "quiesce": {"nodes", "coordinator", "tests", "benchmarks", "demo"},
    "nodes": {"coordinator", "tests", "benchmarks", "demo"},
    "coordinator": {"nodes", "tests", "benchmarks", "demo"},
}
MODULE_LINES = 400
# A catalogue: one class an error, and one place to look them up.
ANY_LENGTH = {ROOT / "quiesce" / "errors.py"}
GENERATED = ROOT / "quiesce" / "v1"
# One home for servers and channels: nobody else calls these.
GRPC_HOME = ROOT / "quiesce" / "rpc"
GRPC_MAKERS = {"server", "insecure_channel", "secure_channel"}


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and top-level package of every import, also of those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.partition(".")[0]


def makes_grpc(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that make a gRPC server or channel: `grpc.server(`, `grpc.aio.insecure_channel(`..."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in GRPC_MAKERS:
            owner = ast.unparse(node.func.value)
            if owner in {"grpc", "grpc.aio", "aio"}:
                yield node.lineno


def complaints(path: Path, source: str) -> Iterator[str]:
    """Yield what is wrong with one module, as `path:line: text`."""
    relative = path.relative_to(ROOT)
    package = relative.parts[0]
    tree = ast.parse(source, str(path))
    for line, name in imported(tree):
        if name in FORBIDDEN.get(package, ()):
            yield f"{relative}:{line}: {package} must not import {name}"
    if package in FORBIDDEN and not path.is_relative_to(GRPC_HOME):
        for line in makes_grpc(tree):
            yield f"{relative}:{line}: servers and channels are made by quiesce.rpc only"
    lines = source.count("\n")
    if lines > MODULE_LINES and path not in ANY_LENGTH:
        yield f"{relative}:{MODULE_LINES + 1}: {lines} lines; {MODULE_LINES} at most: split it by reason to change"


def modules() -> Iterator[Path]:
    for package in ("quiesce", "nodes", "coordinator", "benchmarks", "demo", "scripts", "tests"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.is_relative_to(GENERATED) and not path.name.endswith(("_pb2.py", "_pb2_grpc.py")):
                yield path


def main() -> int:
    found = [text for path in modules() for text in complaints(path, path.read_text())]
    for path in sorted((ROOT / "native" / "src").rglob("*.rs")):
        lines = path.read_text().count("\n")
        if lines > MODULE_LINES:
            found.append(f"{path.relative_to(ROOT)}:{MODULE_LINES + 1}: {lines} lines; {MODULE_LINES} at most")
    for text in found:
        print(text, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
