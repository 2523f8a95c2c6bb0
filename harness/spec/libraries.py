"""Libraries of single tasks that an extra of the harness's package installs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from harness.spec.registry import task


def missing_libraries(kinds: Iterable[str]) -> list[str]:
    """What is not installed for tasks of these kinds, and how it is installed; one sentence for
    each task."""
    return [
        f"libraries missing: {kind} needs {' and '.join(absent)}; install them into this "
        f"environment: pip install 'moco-harness[{task(kind).extra}]'"
        for kind in sorted(set(kinds))
        if task(kind).extra and (absent := [x for x in task(kind).libraries if not _there(x)])
    ]


def _there(library: str) -> bool:
    try:
        metadata.version(library)
    except metadata.PackageNotFoundError:
        return False
    return True
