"""A folder for files that are needed only for a moment."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import StoreError


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder that is removed with its content.

    Raises:
        StoreError: no place for temporary files can be written.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix="moco-")
    except OSError as error:
        raise StoreError(
            f"no temporary folder can be made ({error.strerror or error}); set TMPDIR to a folder "
            "with free space that you can write"
        ) from error
    with made as name:
        yield Path(name)
