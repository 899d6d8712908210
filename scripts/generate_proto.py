"""Generates quiesce/v1 from proto/; with --check, says whether what is checked in is fresh."""

import filecmp
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = sorted((ROOT / "proto" / "quiesce" / "v1").glob("*.proto"))


def generate(destination: Path) -> None:
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}",
            f"--python_out={destination}", f"--grpc_python_out={destination}",
            f"--mypy_out=quiet:{destination}", f"--mypy_grpc_out=quiet:{destination}",
            *map(str, PROTOS),
        ],
        check=True,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
    )  # fmt: skip
    (destination / "quiesce" / "v1" / "__init__.py").write_text(
        '"""Messages and services of the package quiesce.v1, generated from proto/."""\n'
    )


def main() -> int:
    if sys.argv[1:] != ["--check"]:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        generate(Path(directory))
        fresh = Path(directory) / "quiesce" / "v1"
        names = sorted(path.name for path in fresh.iterdir())
        _, different, missing = filecmp.cmpfiles(fresh, ROOT / "quiesce" / "v1", names, shallow=False)
    if different or missing:
        print(f"quiesce/v1 is stale: {', '.join(different + missing)}; run `make proto`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
