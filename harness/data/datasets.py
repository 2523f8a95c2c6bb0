"""The data sets by the recipe's names: found or downloaded, verified, fingerprinted."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torchvision.datasets as vision
from torch import Tensor

from harness.data import embedded, photos, tested
from harness.data.images import Files, Images, Stack
from harness.data.packed import LENGTH, Packed, is_packed, open_packed
from harness.data.whole_folder import pictures, split_classes
from harness.data_check import DOWNLOADED
from harness.data_roots import AnyRoot, each, holders
from harness.errors import DataError, NoData
from harness.imagefolder import LEFT_OUT, ImageFolder, shown, some, splits, unread
from harness.recipe.photos import PHOTOS, DataMetric
from harness.recipe.schema import Data
from harness.runtime import keyed

EMBEDDED_TRAIN, EMBEDDED_TEST = 20_000, 2_000


TESTED_ON = ", tested on "
"""In the name of a data set: before the folder of its test images, if they are elsewhere."""


@dataclass(frozen=True)
class DataSet:
    """An open data set."""

    name: str
    train: Images
    """The images for pre-training."""
    bank: Images
    """Labelled training images, for kNN and the linear probe (STL-10's differ from `train`); none
    of pictures, nor test images."""
    test: Images
    classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fingerprint: str
    """Twelve hexadecimal digits: of pixels and labels, or of the files' names and sizes."""
    packing: str = ""
    """How packing changed the pixels; "" if not at all."""
    passed_over: dict[str, dict[str, int]] = field(default_factory=dict)
    """Files of an image folder that are not used: split -> kind -> how many."""
    left_out: tuple[str, ...] = ()
    """Broken images that the user chose to leave out."""
    split: float | None = None
    """The share of each class's images that is the test set, where a keyed split made it."""
    remarks: tuple[str, ...] = ()
    """`passed_over` and `left_out` in sentences."""
    metric: DataMetric = "top1"
    """The metric that the set is published with."""
    published_split: str = ""
    """Which of a published set's images are for training and which for testing; "" if the data say
    it themselves."""
    tested: tuple[int, ...] = ()
    """The only classes that test images have, and that they may be recognised as; () for all."""

    def on(self, device: torch.device) -> DataSet:
        """The same images; those in memory are moved to `device` if they are small enough."""
        train, test = self.train.to(device), self.test.to(device)
        bank = train if self.bank is self.train else self.bank.to(device)
        return replace(self, train=train, bank=bank, test=test)

    @property
    def key(self) -> str:
        """The name without where it is tested: what keyed draws of training images depend on."""
        return self.name.partition(TESTED_ON)[0]

    @property
    def described(self) -> dict[str, Any]:
        """For provenance and results."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "train": len(self.train),
            "test": len(self.test),
            "classes": self.classes,
            **({"metric": self.metric} if self.metric != "top1" else {}),
            **({"published_split": self.published_split} if self.published_split else {}),
            **({"tested_classes": len(self.tested)} if self.tested else {}),
            **({"packing": self.packing} if self.packing else {}),
            **({"split": self.split} if self.split is not None else {}),
            **({"passed_over": self.passed_over} if self.passed_over else {}),
            **({"left_out": self._left_out} if self.left_out else {}),
        }

    @property
    def _left_out(self) -> dict[str, Any]:
        return {"images": len(self.left_out), "first": [shown(name) for name in self.left_out[:10]]}


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_NORMAL = {  # mean and standard deviation per channel, from the papers' code
    "embedded": ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),  # the official demo's
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "stl10": ((0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713)),
    "imagefolder": _IMAGENET,
    "pictures": _IMAGENET,
}


Channels = tuple[float, float, float]


def normalisation(data: Data) -> tuple[Channels, Channels]:
    """(mean, standard deviation) of R, G and B in [0, 1] that normalise the encoder's input."""
    return _NORMAL.get(data.name, _IMAGENET)


@functools.lru_cache(maxsize=2)
def open_data(data: Data, root: AnyRoot) -> DataSet:
    """The recipe's data set under the data root; cached for the process's next stage.

    Raises:
        NoData: it is missing and cannot be downloaded, incomplete, corrupt or too small.
    """
    try:
        return _open(data, root)
    except DataError as error:
        raise NoData(str(error)) from error


def _open(data: Data, root: AnyRoot) -> DataSet:
    opened = _parts(data, root)
    train, bank, test = opened["train"], opened.get("bank", opened["train"]), opened["test"]
    # Embedded images are drawn at the recipe's size; for others it is only the views' size.
    mean, std = normalisation(data)
    changed = opened.get("packing", "") + ("whole" if data.test_view == "whole" else "")
    fingerprint = _fingerprint(changed, *dict.fromkeys((train, bank, test)))
    names = opened.get("classes")
    labels = int(bank.labels.max()) + 1 if len(bank) else 0
    classes = labels if names is None else len(names)
    made = ("train", "bank", "test", "classes")
    more = {key: opened[key] for key in opened if key not in made}
    name = (data.folder or data.name) + (f"{TESTED_ON}{data.test}" if data.test else "")
    return DataSet(name, train, bank, test, classes, mean, std, fingerprint, **more)


def _parts(data: Data, root: AnyRoot) -> dict[str, Any]:
    """train and test (and bank, if it is not train), and other fields of the DataSet; `classes`, if
    there, has their names."""
    if data.name == "embedded":
        if data.images is not None:
            _all_classes(torch.arange(len(embedded.CLASSES)), data, embedded.CLASSES)
        train = Stack(*embedded.generate("train", data.images or EMBEDDED_TRAIN, data.size))
        return {"train": train, "test": Stack(*embedded.generate("test", EMBEDDED_TEST, data.size))}
    if data.name in PHOTOS:
        return _photos(data, root)
    if data.folder is None:
        try:
            there = holders(root, *DOWNLOADED[data.name][:2])
        except OSError as error:
            raise unread(error, Path(error.filename or each(root)[0])) from error
        return _torchvision(data, (there or each(root))[0])
    folder = root / data.folder
    if data.name == "pictures" or data.split is not None:
        made, whole = pictures(folder) if data.split is None else split_classes(folder, data.split)
        made["train"] = _fixed_subset(made["train"], data, list(whole.classes))
        return made | omitted(data.folder, [whole], splits=False)
    parts: tuple[Images, Images]
    found: dict[str, Any]
    if is_packed(folder):
        pack = open_packed(folder)
        names, parts = pack.classes, (pack.train, pack.val)
        found = {"packing": pack.packing, "passed_over": pack.passed_over}
        found |= {"left_out": pack.left_out, "remarks": without(data.folder, pack.left_out)}
    else:
        folders = splits(folder)
        names, parts = list(folders[0].classes), (files_of(folders[0]), files_of(folders[1]))
        found = omitted(data.folder, folders)
    found |= {"train": _fixed_subset(parts[0], data, names), "test": parts[1]}
    if data.test is None:
        return found
    other, whole = tested.opened(data, root, names)
    other |= omitted(data.test, [whole], splits=False)
    if over := other["passed_over"]:
        other["passed_over"] = {"test": over["all"]}
    for key in ("remarks", "left_out"):
        other[key] = (*found[key], *other[key])
    return found | other | {"passed_over": found["passed_over"] | other["passed_over"]}


def _fixed_subset(images: Images, data: Data, classes: Sequence[str]) -> Images:
    """The first `data.images` images of a fixed order, the same for every seed."""
    if data.images is None or data.images == len(images):
        return images
    if data.images > len(images):
        raise DataError(f"data.images: {data.images}, but {data.name} has only {len(images)}")
    order = keyed.permutation(keyed.key("subset", data.name), len(images))
    _all_classes(images.labels[order], data, classes)
    return images.subset(order[: data.images].sort().values)


def _all_classes(labels: Tensor, data: Data, names: Sequence[str]) -> None:
    """Raise a DataError unless the first `data.images` labels have all classes of the others."""
    every, kept = (set(of.tolist()) for of in (labels, labels[: data.images]))
    if lost := sorted(every - kept):
        least = max(int((labels == label).nonzero()[0]) for label in lost) + 1
        raise DataError(
            f"data.images: {data.images} images of {data.folder or data.name} miss {len(lost):,} "
            f"of its {len(every):,} classes, which the test images have "
            f"({some([names[n] for n in lost])}); use {least:,} or more"
        )


def _photos(data: Data, root: AnyRoot) -> dict[str, Any]:
    if not photos.is_there(data.name, root):
        with _fetching(data.name, each(root)[0]):
            photos.fetch(data.name, root)
    found = photos.read(data.name, root)
    return found | {"train": _fixed_subset(found["train"], data, found["classes"])}


def _torchvision(data: Data, root: Path) -> dict[str, Any]:
    if data.name == "stl10":
        with _fetching(data.name, root):
            unlabeled = vision.STL10(root, "train+unlabeled", download=True)
            bank = vision.STL10(root, "train", download=True)
            test = vision.STL10(root, "test", download=True)
        # STL-10 stores its images transposed; torchvision corrects this when it loads them.
        stacks = [
            Stack(torch.from_numpy(part.data), torch.from_numpy(part.labels).long())
            for part in (unlabeled, bank, test)
        ]
        train = _fixed_subset(stacks[0], data, unlabeled.classes)
        return {"train": train, "bank": stacks[1], "test": stacks[2]}
    maker = vision.CIFAR10 if data.name == "cifar10" else vision.CIFAR100
    with _fetching(data.name, root):
        made = [maker(root, train=part == "train", download=True) for part in ("train", "test")]
    train, test = (
        Stack(
            torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(),
            torch.tensor(part.targets),
        )
        for part in made
    )
    return {"train": _fixed_subset(train, data, made[0].classes), "test": test}


@contextlib.contextmanager
def _fetching(name: str, root: Path) -> Iterator[None]:
    """Wrap a torchvision download, which verifies checksums and shows progress; explain errors."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (ImportError, LookupError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise DataError(
            f"{name} is incomplete in {root} and could not be downloaded ({error}); put "
            "torchvision's files there, or name their folder with --data or in the site file"
        ) from error


def files_of(folder: ImageFolder) -> Files:
    """A split's images, labelled by their classes in order of names."""
    every = [image for images in folder.classes.values() for image in images]
    labels = [n for n, images in enumerate(folder.classes.values()) for _ in images]
    paths = [folder.path / image.name for image in every]
    sizes = [image.size for image in every]
    return Files(paths, torch.tensor(labels), sizes, folder.path.parent)


def omitted(name: str, folders: Sequence[ImageFolder], *, splits: bool = True) -> dict[str, Any]:
    """The DataSet's fields about files of an image folder that are not used.

    Args:
        splits: whether `folders` are its train and val, and not the folder itself.
    """
    within = [f"{each.path.name}/" if splits else "" for each in folders]
    pairs = list(zip(within, folders, strict=True))
    over = {at: each.passed_over for at, each in pairs if each.passed_over.counts}
    out = tuple(f"{at}{image}" for at, each in pairs for image in each.left_out)
    said = tuple(f"{f'{name}/{at}'[:-1]}: skipped {kinds}" for at, kinds in over.items())
    unmet = [f"{at}{image}" for at, each in pairs for image in each.unmet]
    if unmet:
        # quoted: a blank at a name's end may be all that is wrong
        quoted = [f"'{image}'" for image in unmet]
        said += (f"{name}/{LEFT_OUT}: {len(unmet):,} of its images do not exist ({some(quoted)})",)
    return {
        "passed_over": {at[:-1] or "all": dict(kinds.counts) for at, kinds in over.items()},
        "left_out": out,
        "remarks": said + without(name, out),
    }


def without(name: str, left_out: Sequence[str]) -> tuple[str, ...]:
    """A sentence saying that images were left out of the data set `name`; () if none were."""
    if not left_out:
        return ()
    return (f"{name}: {len(left_out):,} broken images left out ({some(left_out)})",)


def _fingerprint(changed: str, *parts: Images) -> str:
    """The fingerprint. A pack of unchanged files has the fingerprint of their folder. `changed`: in
    what the pixels that are used differ from the files'."""
    total = hashlib.sha256(changed.encode())
    for part in parts:
        total.update(_bytes(part.labels))
        if isinstance(part, Stack):
            total.update(_bytes(part.stack))
        elif isinstance(part, Files):
            for name, size in zip(part.names, part.bytes, strict=True):
                total.update(os.fsencode(f"{name}:{size}\0"))
        elif isinstance(part, Packed):
            for name, length in zip(part.names, part.rows[:, LENGTH].tolist(), strict=True):
                total.update(os.fsencode(f"{name}:{length}\0"))
    return total.hexdigest()[:12]


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()
