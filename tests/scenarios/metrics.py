"""What a daemon shows under /metrics."""

from __future__ import annotations

import math
import urllib.request

from prometheus_client.parser import text_string_to_metric_families


def scrape(address: str, timeout_s: float = 10) -> dict[str, dict[str, float]]:
    """Return the values by metric, and by the value of its label ("" where it has none)."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=timeout_s) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name.removeprefix("quiesce_"), {})[",".join(sample.labels.values())] = sample.value
    return found


def value(address: str, name: str, label: str = "") -> float:
    """Return one value; not a number where it is not shown."""
    return scrape(address).get(name, {}).get(label, math.nan)
