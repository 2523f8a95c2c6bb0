"""The edition: a hash of the code and libraries that decide a run's numbers.

A run carries its edition; results of different editions are never mixed silently.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import metadata
from pathlib import Path

import harness

SOURCES = ("data", "model", "contrast", "runtime", "evaluate", "stage")
"""The packages of the harness whose source decides numbers."""
LIBRARIES = ("torch", "torchvision", "pillow")
"""Arithmetic, and the decoding and resizing of pixels."""


@functools.cache
def edition() -> str:
    """Twelve hexadecimal digits for the code and libraries in use."""
    root = Path(harness.__file__).parent
    total = hashlib.sha256()
    for package in SOURCES:
        for path in sorted((root / package).rglob("*.py")):
            total.update(path.relative_to(root).as_posix().encode() + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
    for library in LIBRARIES:
        total.update(f"{library}=={metadata.version(library)}\0".encode())
    return total.hexdigest()[:12]
