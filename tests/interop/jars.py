"""The official jars of OrientDB, and the driver around them: fetched from Maven Central once, into the build folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "interop"
# The newest whose artifacts on Maven Central are complete; another one by the environment variable ORIENTDB_VERSION.
NEWEST = "3.2.49"
FETCH_S = 600


class NoEngine(Exception):
    """This machine cannot run OrientDB; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Jars:
    """A version of OrientDB that is ready to run."""

    version: str
    java: str
    class_path: str


def default_version() -> str:
    """Return the version that tests run beside Quiesce."""
    return os.environ.get("ORIENTDB_VERSION") or NEWEST


def jars(version: str | None = None) -> Jars:
    """Return the jars of a version, after fetching and building what is not there yet.

    Raises:
        NoEngine: there is no Java with a compiler, no Maven, or no way to Maven Central.
    """
    version = version or default_version()
    programs = {name: shutil.which(name) for name in ("java", "javac", "mvn")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        raise NoEngine(f"{' and '.join(missing)} not found: the real OrientDB needs a JDK (17 or later) and Maven")
    output = BUILD / version
    output.mkdir(parents=True, exist_ok=True)
    # Several test processes may need them at the same time.
    with (output / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _build(str(programs["mvn"]), version, output)
    folders = [output / "driver.jar", *sorted((output / "jars").glob("*.jar"))]
    return Jars(version, str(programs["java"]), os.pathsep.join(map(str, folders)))


def _build(maven: str, version: str, output: Path) -> None:
    built = output / "driver.jar"
    sources = [HERE / "pom.xml", *(HERE / "java").glob("*.java")]
    if built.exists() and built.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return
    command = [maven, "-q", "-B", "-f", str(HERE / "pom.xml"), f"-Dorientdb.version={version}", "package"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise NoEngine(f"Maven did not end within {FETCH_S} s") from error
    if ended.returncode:
        said = (ended.stdout + ended.stderr).strip()
        # What does not compile is a fault of ours; what cannot be fetched is none.
        if "COMPILATION ERROR" in said:
            raise RuntimeError(said[-4_000:])
        raise NoEngine(f"Maven cannot fetch OrientDB {version}: {said[-1_000:]}")
    built.touch()
