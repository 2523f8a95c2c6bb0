"""Which training images keep their labels: a keyed draw from each class, or a list of names."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from harness.data.images import Files, Images
from harness.data.packed import Packed
from harness.errors import DataError, cannot_be_read
from harness.imagefolder import shown, some
from harness.runtime import keyed


def stratified(labels: Tensor, wanted: float, name: str, draw: int = 0) -> Tensor:
    """Indices, int64 in increasing order, of a draw from each class.

    It depends on the data set's name and `draw` alone; a larger share contains a smaller one.

    Args:
        labels: int64 (n,), from 0.
        wanted: a share below 1, of each class, rounded but at least one image; or a number for
            each class.
        name: the data set's.
        draw: which of several independent draws.

    Raises:
        DataError: there are too few images.
    """
    counts = torch.bincount(labels).tolist()
    classes = sum(count > 0 for count in counts)
    if wanted < 1 and wanted * len(labels) < classes:
        enough = math.ceil(1e4 * classes / len(labels)) / 1e4
        raise DataError(
            f"labels: {wanted:g} of {len(labels):,} images are {wanted * len(labels):g}, but "
            f"{name} has {classes:,} classes; use {enough:g} or more"
        )
    if wanted >= 1 and (least := min(filter(None, counts))) < wanted:
        raise DataError(
            f"labels: {wanted:g} images a class, but class {counts.index(least)} of {name} has "
            f"only {least}"
        )
    which = ("draw", draw) if draw else ()
    order = keyed.permutation(keyed.key("labels", name, *which), len(labels))
    drawn = []
    for label, count in enumerate(counts):
        take = int(wanted) if wanted >= 1 else max(1, int(wanted * count + 0.5))
        drawn.append(order[labels[order] == label][: take if count else 0])
    return torch.cat(drawn).sort().values


def check_shots(images: Images, shots: int, name: str) -> None:
    """Check that each class has enough images for a draw of `shots` a class.

    Args:
        name: the data set's.

    Raises:
        DataError: some have too few; names them.
    """
    labels = images.labels.cpu()
    if few := [n for n, count in enumerate(torch.bincount(labels).tolist()) if 0 < count < shots]:
        files = _names(images, name) if isinstance(images, Files | Packed) else []
        firsts = [int((labels == label).nonzero()[0]) for label in few]
        called = [files[n].rpartition("/")[0] for n in firsts] if files else [*map(str, few)]
        counts = [int((labels == label).sum()) for label in few]
        said = [f"{each}: {count}" for each, count in zip(called, counts, strict=True)]
        raise DataError(
            f"shots: {shots} images a class, but {len(few):,} of the classes of {name} have fewer "
            f"({some(said)}); use {min(counts)} or fewer"
        )


def listed(images: Images, path: Path, sha256: str, name: str) -> Tensor:
    """Indices, int64 in increasing order, of the images that the list in `path` names.

    Args:
        path: one file name on each line, with or without its class folder.
        sha256: the list's SHA-256, or its first digits.
        name: the data set's.

    Raises:
        DataError: the list cannot be read or is another one; an image of it is missing; a name fits
            several images, or is there twice; or the data has no file names.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(cannot_be_read(error, path)) from error
    if not (found := hashlib.sha256(content).hexdigest()).startswith(sha256):
        raise DataError(f"{path}: has sha256 {found}, not {sha256}; restore the list")
    known: dict[str, list[int]] = {}
    for n, each in enumerate(_names(images, name)):
        for form in {each, each.rpartition("/")[2]}:
            known.setdefault(form, []).append(n)
    wanted = [line.strip() for line in content.decode(errors="surrogateescape").splitlines()]
    wanted = [line for line in wanted if line]
    if missing := [line for line in wanted if line not in known]:
        raise DataError(
            f"{path}: {len(missing):,} of its {len(wanted):,} images are not training images of "
            f"{name} ({some(missing)})"
        )
    if twice := [line for line in wanted if len(known[line]) > 1]:
        raise DataError(
            f"{path}: {shown(twice[0])} is the name of {len(known[twice[0]])} images; write it "
            "with its class folder"
        )
    index = torch.tensor([known[line][0] for line in wanted], dtype=torch.int64)
    if len(set(index.tolist())) != len(index) or not wanted:
        raise DataError(f"{path}: {'an image is listed twice' if wanted else 'the list is empty'}")
    return index.sort().values


def _names(images: Images, name: str) -> Sequence[str]:
    """<class>/<image> of each image."""
    if isinstance(images, Files):
        return [f"{path.parent.name}/{path.name}" for path in images.paths]
    if isinstance(images, Packed):
        return images.names
    raise DataError(f"labels_file: the images of {name} have no file names; use labels")
