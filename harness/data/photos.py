"""Published data sets of photos: lists of their images, from the sets' own files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision.datasets as vision
from torch import Tensor

from harness.data.images import Files
from harness.data_roots import AnyRoot, each
from harness.errors import DataError
from harness.imagefolder import shown, unread, walk
from harness.recipe.photos import PHOTOS
from harness.runtime import keyed

PER_CATEGORY = 30
"""Training images of each of Caltech-101's categories."""
TRAIN_SHARE = 0.8
"""Share of each of EuroSAT's classes that is for training."""

Labelled = tuple[str, int]
"""An image, relative to its set's folder, and its class."""


class Listed(NamedTuple):
    """What a set's files say."""

    classes: Sequence[str]
    train: list[Labelled]
    test: list[Labelled]


class Photos(Files):
    """Images of a published set."""

    mend = (
        "restore them from the set's archive; or remove the set's folder, and a run downloads it "
        "again if it can"
    )

    def subset(self, index: Tensor) -> Photos:
        cut = super().subset(index)
        return Photos(cut.paths, cut.labels, cut.bytes, None, self._workers)


def is_there(name: str, root: AnyRoot) -> bool:
    """Whether all that the set needs is under the data root; only names are checked."""
    place = root / PHOTOS[name].folder
    return all((place / need).exists() for need in PHOTOS[name].needs)


def fetch(name: str, root: AnyRoot) -> None:
    """Download the set into the first data root, through torchvision, which verifies the archive.

    Raises:
        DataError: it cannot be had in this way.
        RuntimeError, OSError: torchvision's, if that fails.
    """
    about = PHOTOS[name]
    if not about.archive:
        lacks = [need for need in about.needs if not (root / about.folder / need).exists()]
        raise DataError(
            f"{name}: no {' and no '.join(lacks)} in {root / about.folder}, and the harness does "
            f"not download them: {about.source}"
        )
    if name == "flowers102":
        _loadmat()  # torchvision would ask for it only after the download
    _FETCH[name](each(root)[0])


_FETCH: dict[str, Callable[[Path], object]] = {
    "imagenette": lambda root: vision.Imagenette(root, download=True),
    "flowers102": lambda root: vision.Flowers102(root, download=True),
    "pets": lambda root: vision.OxfordIIITPet(root, download=True),
    "dtd": lambda root: vision.DTD(root, download=True),
    "aircraft": lambda root: vision.FGVCAircraft(root, "trainval", download=True),
    "food101": lambda root: vision.Food101(root, download=True),
    "caltech101": lambda root: vision.Caltech101(root, download=True),
    "eurosat": lambda root: vision.EuroSAT(root, download=True),
}


def read(name: str, root: AnyRoot) -> dict[str, Any]:
    """The DataSet's fields of the set, and its `classes`; `train` has all training images.

    Raises:
        DataError: a list cannot be read or says something else, or an image of it is not there.
    """
    about = PHOTOS[name]
    place = root / about.folder
    listed = _LISTS[name](place)
    parts = {"train": listed.train, "test": listed.test}
    counts = (len(listed.train), len(listed.test), len(listed.classes))
    remarks: tuple[str, ...] = ()
    if counts != (about.train, about.test, about.classes):
        told, published = (
            f"{a:,} + {b:,} images of {c:,} classes"
            for a, b, c in (counts, (about.train, about.test, about.classes))
        )
        remarks = (f"{name} in {shown(place)}: {told}, but {published} are published",)
    return {
        **{part: _files(name, place, images) for part, images in parts.items()},
        "classes": listed.classes,
        "published_split": about.split,
        "metric": about.metric,
        "remarks": remarks,
    }


def _files(name: str, place: Path, images: Sequence[Labelled]) -> Photos:
    if not images:
        raise DataError(f"{name}: {shown(place)} contains no images of it; {Photos.mend}")
    sizes = []
    for image, _ in images:
        try:
            sizes.append((place / image).stat().st_size)
        except OSError as error:
            raise unread(error, place / image) from error
    labels = torch.tensor([label for _, label in images])
    return Photos([place / image for image, _ in images], labels, sizes)


def _lines(path: Path) -> list[str]:
    """The lines of a list that are not empty.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise unread(error, path) from error
    except ValueError as error:
        raise _unlike(path, str(error)) from error


def _unlike(path: Path, why: str) -> DataError:
    return DataError(f"{shown(path)}: not a list of the set's images ({why}); {Photos.mend}")


def _classified(
    path: Path, numbers: dict[str, int], of: Callable[[str], tuple[str, str]]
) -> list[Labelled]:
    """The images of a list. `of`: a line -> its image and the name of its class."""
    found = []
    for n, line in enumerate(_lines(path), 1):
        try:
            image, name = of(line)
            found.append((_inside(image), numbers[name]))
        except (LookupError, ValueError):
            raise _unlike(path, f"line {n}: {shown(line)}") from None
    return found


def _inside(image: str) -> str:
    """Raise a ValueError if the path leads out of the set's folder."""
    if image.startswith("/") or ".." in image.split("/"):
        raise ValueError(image)
    return image


def _numbers(classes: Iterable[str]) -> dict[str, int]:
    return {name: n for n, name in enumerate(classes)}


def _imagenette(place: Path) -> Listed:
    folders = [walk(place / part) for part in ("train", "val")]
    classes = sorted(folders[0].classes)
    if other := sorted(set(classes) ^ set(folders[1].classes)):
        raise DataError(f"{shown(place)}: {other[0]} is only in one of train and val")
    train, test = (
        [
            (f"{folder.path.name}/{image.name}", n)
            for n, name in enumerate(classes)
            for image in folder.classes[name]
        ]
        for folder in folders
    )
    return Listed(classes, train, test)


def _flowers102(place: Path) -> Listed:
    load = _loadmat()
    try:
        labels = [int(n) for n in load(place / "imagelabels.mat")["labels"].ravel()]
        ids = load(place / "setid.mat")
        train, val, test = ([int(n) for n in ids[k].ravel()] for k in ("trnid", "valid", "tstid"))
        if not 1 <= min((*train, *val, *test), default=0) <= len(labels):
            raise ValueError("it counts images from 1")
        if not 1 <= min(labels) <= max(labels) <= (classes := PHOTOS["flowers102"].classes):
            raise ValueError(f"it counts classes from 1 to {classes}")
        of = [(f"jpg/image_{n:05d}.jpg", labels[n - 1] - 1) for n in (*train, *val, *test)]
    except OSError as error:
        raise unread(error, place / "setid.mat") from error
    except Exception as error:  # scipy and zlib have errors of their own
        raise _unlike(place / "setid.mat", f"or imagelabels.mat: {error}") from error
    cut = len(train) + len(val)
    return Listed([str(n + 1) for n in range(classes)], of[:cut], of[cut:])


def _loadmat() -> Callable[[Path], Any]:
    try:
        from scipy.io import loadmat
    except ImportError:
        raise DataError(PHOTOS["flowers102"].no_package("flowers102")) from None
    return loadmat  # type: ignore[no-any-return]


def _pets(place: Path) -> Listed:
    names: dict[int, str] = {}

    def of(line: str) -> tuple[str, str]:
        image, label, *_ = line.split()
        names[int(label) - 1] = image.rpartition("_")[0]
        return f"images/{image}.jpg", label

    numbers = {str(n + 1): n for n in range(PHOTOS["pets"].classes)}
    train, test = (
        _classified(place / f"annotations/{part}.txt", numbers, of) for part in ("trainval", "test")
    )
    return Listed([names.get(n, str(n + 1)) for n in range(len(numbers))], train, test)


def _dtd(place: Path) -> Listed:
    def of(line: str) -> tuple[str, str]:
        image = line.strip()
        return f"images/{image}", image.partition("/")[0]

    every = [place / f"labels/{part}1.txt" for part in ("train", "val", "test")]
    classes = sorted({of(line)[1] for path in every for line in _lines(path)})
    train, val, test = (_classified(path, _numbers(classes), of) for path in every)
    return Listed(classes, train + val, test)


def _aircraft(place: Path) -> Listed:
    def of(line: str) -> tuple[str, str]:
        image, _, variant = line.partition(" ")
        return f"images/{image}.jpg", variant.strip()

    classes = [line.strip() for line in _lines(place / "variants.txt")]
    train, test = (
        _classified(place / f"images_variant_{part}.txt", _numbers(classes), of)
        for part in ("trainval", "test")
    )
    return Listed(classes, train, test)


def _food101(place: Path) -> Listed:
    def images(part: str) -> dict[str, list[str]]:
        path = place / f"meta/{part}.json"
        try:
            said = json.loads("\n".join(_lines(path)))
            return {k: [f"images/{_inside(image)}.jpg" for image in said[k]] for k in sorted(said)}
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise _unlike(path, str(error)) from error

    train, test = images("train"), images("test")
    if train.keys() != test.keys():
        raise _unlike(place / "meta/test.json", "its classes are not those of train.json")
    parts = ([(i, n) for n, k in enumerate(of) for i in of[k]] for of in (train, test))
    return Listed(list(train), *parts)


def _sun397(place: Path) -> Listed:
    def of(line: str) -> tuple[str, str]:
        image = line.strip()
        return image.removeprefix("/"), image.rpartition("/")[0]

    classes = [line.strip() for line in _lines(place / "ClassName.txt")]
    train, test = (
        _classified(place / f"{part}_01.txt", _numbers(classes), of)
        for part in ("Training", "Testing")
    )
    return Listed(classes, train, test)


def _caltech101(place: Path) -> Listed:
    return _drawn("caltech101", place, lambda count: min(PER_CATEGORY, count - 1))


def _eurosat(place: Path) -> Listed:
    return _drawn("eurosat", place, lambda count: min(round(TRAIN_SHARE * count), count - 1))


def _drawn(name: str, place: Path, share: Callable[[int], int]) -> Listed:
    """A split of class folders, the same for every seed. `share`: how many of a class's images are
    for training; each class has one image for testing at least."""
    classes = {k: v for k, v in walk(place).classes.items() if k != "BACKGROUND_Google"}
    train: list[Labelled] = []
    test: list[Labelled] = []
    for n, (category, images) in enumerate(classes.items()):
        order = keyed.permutation(keyed.key("split", name, category), len(images)).tolist()
        cut = share(len(images))
        train += [(images[i].name, n) for i in sorted(order[:cut])]
        test += [(images[i].name, n) for i in sorted(order[cut:])]
    return Listed(list(classes), train, test)


_LISTS: dict[str, Callable[[Path], Listed]] = {
    "imagenette": _imagenette,
    "flowers102": _flowers102,
    "pets": _pets,
    "dtd": _dtd,
    "aircraft": _aircraft,
    "food101": _food101,
    "sun397": _sun397,
    "caltech101": _caltech101,
    "eurosat": _eurosat,
}
