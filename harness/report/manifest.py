"""The digests of a published report's files, in the format that `sha256sum -c` reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import StoreError
from harness.store import atomic

MANIFEST = "SHA256SUMS"


def manifest(folder: Path) -> str:
    """A line for each file of the folder, sorted by path: its SHA-256 and its path in the folder.

    Raises:
        StoreError: the folder contains something that is neither a file nor a folder, or that
            cannot be read.
    """
    return "".join(f"{_digest(folder / name)}  {name}\n" for name in sorted(_names(folder)))


def digests(folder: Path) -> dict[str, str] | None:
    """Path in the folder -> SHA-256, as the manifest has them; None if there is no manifest.

    Raises:
        StoreError: it is damaged, or cannot be read.
    """
    path = folder / MANIFEST
    try:
        text = atomic.content(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise atomic.unread(error, path) from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.decode(errors="replace").splitlines(), 1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or name in found:
            raise StoreError(f"{path}:{number}: not a line of digests; restore the file")
        found[name] = digest
    return found


@dataclass(frozen=True)
class Comparison:
    """The files of a folder beside its manifest; names are paths in the folder."""

    digest: str
    """SHA-256 of the manifest itself, which stands for all files."""
    same: int
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    unlisted: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return bool(self.changed or self.missing or self.unlisted)


def compare(folder: Path) -> Comparison:
    """Compare the folder's files with its manifest.

    Raises:
        StoreError: there is no manifest, it is damaged, or a file cannot be read.
    """
    listed = digests(folder)
    if listed is None:
        path = folder / MANIFEST
        raise StoreError(
            f"{path}: not there, so nothing says what was published; `publish` writes it"
        )
    there = set(_names(folder))
    found = {name: _digest(folder / name) for name in sorted(there & listed.keys())}
    changed = tuple(name for name, digest in found.items() if digest != listed[name])
    return Comparison(
        digest=_digest(folder / MANIFEST),
        same=len(found) - len(changed),
        changed=changed,
        missing=tuple(sorted(listed.keys() - there)),
        unlisted=tuple(sorted(there - listed.keys())),
    )


def _names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            continue
        if path.is_symlink() or not path.is_file():
            raise StoreError(f"{path}: a published report has only files and folders; remove it")
        if (name := path.relative_to(folder).as_posix()) != MANIFEST:
            yield name


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise atomic.unread(error, path) from error
