"""From the settings of a request to the arguments of `quiesce import`."""

from __future__ import annotations

from quiesce.v1.transfer_pb2 import ImportSettings

_FLAGS = ("merge", "dry_run", "discard_unfinished")
_CHOICES = (
    "preserve_cluster_ids", "preserve_rids", "migrate_links", "delete_rid_mapping", "include_records",
    "include_indexes", "include_manual_indexes",
)  # fmt: skip
_LISTS = {
    "include_classes": "include-class",
    "exclude_classes": "exclude-class",
    "include_clusters": "include-cluster",
    "exclude_clusters": "exclude-cluster",
}


def import_arguments(settings: ImportSettings) -> list[str]:
    """Return the options that mean the same."""
    arguments = [f"--{_dashed(name)}" for name in _FLAGS if getattr(settings, name)]
    given = {descriptor.name: value for descriptor, value in settings.ListFields()}
    arguments += [f"--{_dashed(name)}={str(given[name]).lower()}" for name in _CHOICES if name in given]
    arguments += [f"--{option}={one}" for name, option in _LISTS.items() for one in getattr(settings, name)]
    if settings.skip_failed:
        arguments.append("--on-error=skip")
    if settings.time_zone:
        arguments.append(f"--time-zone={settings.time_zone}")
    return arguments


def _dashed(name: str) -> str:
    return name.replace("_", "-")
