"""Results as a table for people and JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import Noise, Run, Spread


def machine() -> dict[str, object]:
    """Return what the numbers depend on."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def summary(runs: Mapping[str, Sequence[Run]], noise: Sequence[Noise]) -> dict[str, object]:
    """Return medians, extremes and the ratio of the first system to the second."""
    systems = {name: _system(of) for name, of in runs.items()}
    result: dict[str, object] = {"systems": systems, "noise": _noise(noise)}
    rates = [Spread.of([run.rate for run in of]).median for of in runs.values()]
    if len(rates) == 2:
        result["ratio"] = rates[0] / rates[1]
    return result


def _system(runs: Sequence[Run]) -> dict[str, object]:
    numbers: dict[str, object] = {
        "rate": _spread([run.rate for run in runs]),
        "seconds": _spread([run.seconds for run in runs]),
        "runs": len(runs),
    }
    if runs[0].latencies:
        for share in (0.5, 0.99):
            numbers[f"p{share * 100:g}_ms"] = _spread([run.percentile(share) * 1e3 for run in runs])
    for fact in runs[0].facts:
        numbers[fact] = _spread([run.facts[fact] for run in runs])
    return numbers


def _spread(values: Sequence[float]) -> dict[str, float]:
    spread = Spread.of(values)
    return {"median": spread.median, "min": spread.least, "max": spread.most}


def _noise(noise: Sequence[Noise]) -> dict[str, object]:
    return {"spin_ms": _spread([n.spin_ms for n in noise]), "fsync_ms": _spread([n.fsync_ms for n in noise])}


def table(title: str, unit: str, runs: Mapping[str, Sequence[Run]], noise: Sequence[Noise]) -> str:
    """Return the runs of one case as a Markdown table."""
    latencies = any(run.latencies for of in runs.values() for run in of)
    head = ["", unit, "seconds"]
    if latencies:
        each = unit.partition("/")[0].removesuffix("s")
        head += ["p50 ms", "p99 ms", f"client CPU µs a {each}", f"server CPU µs a {each}"]
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    scale = 1e-6 if unit.startswith("MB") else 1.0
    for name, of in runs.items():
        cells = [name, _cell([run.rate * scale for run in of]), _cell([run.seconds for run in of])]
        if latencies:
            cells += [_cell([run.percentile(share) * 1e3 for run in of]) for share in (0.5, 0.99)]
            cells += [_cell([run.facts[fact] for run in of]) for fact in ("client_cpu_us", "server_cpu_us")]
        lines.append("| " + " | ".join(cells) + " |")
    ratio = summary(runs, noise).get("ratio")
    spins, syncs = [n.spin_ms for n in noise], [n.fsync_ms for n in noise]
    if ratio is not None:
        lines += ["", f"Ratio {ratio:.2f} (1 is as fast as etcd)."]
    lines += ["", f"Machine: loop {_cell(spins)} ms, fsync {_cell(syncs)} ms."]
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    spread = Spread.of(values)
    if len(values) == 1:
        return _number(spread.median)
    return f"{_number(spread.median)} ({_number(spread.least)}–{_number(spread.most)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def rows_table(title: str, rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows with the same keys as a Markdown table."""
    lines = [f"### {title}", "", "| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    for row in rows:
        cells = [
            _number(v) if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_json(path: Path, result: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n")
