#!/usr/bin/env bash
# Says what this machine lacks and the command that installs it. On stdout: the Python to use.
set -euo pipefail

missing=0
lacks() {
    missing=1
    printf 'missing: %s\n    install it with: %s\n' "$1" "$2" >&2
}

# The words for the package manager that is here.
if command -v apt-get >/dev/null; then
    compiler='apt-get install build-essential' python_package='apt-get install python3 python3-venv'
elif command -v dnf >/dev/null; then
    compiler='dnf install gcc' python_package='dnf install python3'
elif command -v pacman >/dev/null; then
    compiler='pacman -S base-devel' python_package='pacman -S python'
elif [ "$(uname)" = Darwin ]; then
    compiler='xcode-select --install' python_package='brew install python'
else
    compiler="your system's package manager (gcc or clang)" python_package='https://www.python.org/downloads/'
fi
rustup="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"

python=
for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    # RocksDB's binding has no wheel for later versions than 3.14, and no source package.
    # A version manager's shim is on the PATH for versions that it will not start: ask each for its version.
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; then
        python=$(command -v "$candidate")
        break
    fi
done
if [ -z "$python" ]; then
    found=$(python3 --version 2>/dev/null || echo none)
    lacks "Python 3.11 to 3.14 (found: $found)" "$python_package"
elif ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if command -v apt-get >/dev/null; then
        lacks "the module venv of Python $version" "apt-get install python$version-venv"
    else
        lacks "the module venv of Python $version" "$python_package"
    fi
fi

command -v cc >/dev/null || lacks 'a C compiler (cc)' "$compiler"

if ! command -v cargo >/dev/null; then
    lacks 'cargo (Rust 1.83 or later)' "$rustup"
else
    rust=$(rustc --version 2>/dev/null | awk '{print $2}')
    # sort -V puts the older of the two first.
    if [ "$(printf '%s\n1.83.0\n' "${rust:-0}" | sort -V | head -1)" != 1.83.0 ]; then
        lacks "Rust 1.83 or later (found: ${rust:-no rustc})" "rustup update stable, or: $rustup"
    fi
fi

[ "$missing" = 0 ] || exit 1
printf '%s\n' "$python"
