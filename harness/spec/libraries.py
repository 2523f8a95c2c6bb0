"""Libraries that only single tasks need."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from harness.spec.declarations import OWN
from harness.spec.registry import task


def missing_libraries(kinds: Iterable[str]) -> list[str]:
    """What is not installed for tasks of these kinds, and how it is installed; one sentence for
    each task."""
    return [
        f"libraries missing: {kind} needs {' and '.join(absent)}; install them into this "
        f"environment: pip install {_source(kind, absent)}"
        for kind in sorted(set(kinds))
        if (task(kind).extra or not task(kind).function.startswith(OWN))
        and (absent := [x for x in task(kind).libraries if not _there(x)])
    ]


def _source(kind: str, absent: Iterable[str]) -> str:
    declared = task(kind)
    if declared.extra and declared.function.startswith(OWN):
        return f"'moco-harness[{declared.extra}]'"
    return " ".join(absent)


def _there(library: str) -> bool:
    try:
        metadata.version(library)
    except metadata.PackageNotFoundError:
        return False
    return True
