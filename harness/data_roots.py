"""Data roots: one folder, or several of which the first that holds a data set has it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataRoots:
    """Several data roots, used as a path is: `roots / name` is the path in the first root where
    there is such a thing or, where there is none, in the first root."""

    paths: tuple[Path, ...]

    def __truediv__(self, name: str | Path) -> Path:
        there = (path / name for path in self.paths if os.path.lexists(path / name))
        return next(there, self.paths[0] / name)

    def __str__(self) -> str:
        return os.pathsep.join(map(str, self.paths))

    def absolute(self) -> DataRoots:
        return DataRoots(tuple(path.absolute() for path in self.paths))


AnyRoot = Path | DataRoots


def joined(paths: Iterable[Path]) -> AnyRoot:
    """One root, or several; each path counts once."""
    found = tuple(dict.fromkeys(paths))
    return found[0] if len(found) == 1 else DataRoots(found)


def parsed(text: str) -> tuple[Path, ...]:
    """The roots in a text, between colons. A text that is itself the path of a folder is one."""
    parts = [text] if os.path.lexists(text) else [part for part in text.split(os.pathsep) if part]
    return tuple(map(Path, parts or [text]))


def read(text: str) -> AnyRoot:
    """The root, or roots, that `str` has made a text of."""
    return joined(parsed(text))


def each(root: AnyRoot) -> tuple[Path, ...]:
    """All of the roots; a download goes to the first."""
    return root.paths if isinstance(root, DataRoots) else (root,)


def holders(root: AnyRoot, *names: str) -> list[Path]:
    """The roots that hold one of the names.

    Raises:
        OSError: one cannot be read.
    """
    return [path for path in each(root) if any(_exists(path / name) for name in names)]


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def below(path: Path, root: AnyRoot) -> str | None:
    """The name under which the data root, or one of several, holds the path; None if none does, or
    if an earlier root holds something else of that name. Links are followed only if they must."""
    for whole in (os.path.abspath, os.path.realpath):
        here = whole(path)
        for one in each(root):
            if Path(here).is_relative_to(above := whole(one)):
                name = str(Path(here).relative_to(above))
                if whole(root / name) == here:
                    return name
    return None
