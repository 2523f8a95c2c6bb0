"""The data sets by the recipe's name: found or downloaded, verified, fingerprinted."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torchvision.datasets as vision
from torch import Tensor

from harness.data import embedded
from harness.data.images import Files, Images, Stack
from harness.data.packed import LENGTH, Packed, is_packed, open_packed
from harness.errors import DataError, NoData
from harness.imagefolder import ImageFolder, shown, walk
from harness.recipe.schema import Data
from harness.runtime import keyed

EMBEDDED_TRAIN, EMBEDDED_TEST = 20_000, 2_000


@dataclass(frozen=True)
class DataSet:
    """A data set as a run sees it."""

    name: str
    train: Images
    """What pre-training sees."""
    bank: Images
    """Labelled training images, for kNN and the linear probe (STL-10's differ from `train`)."""
    test: Images
    classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fingerprint: str
    """Twelve hexadecimal digits: of the pixels and labels, or of the files' names and sizes."""
    packing: str = ""
    """What packing did to the pixels; "" if nothing."""

    def on(self, device: torch.device) -> DataSet:
        """The same images; those in memory on `device`, whole, where they are small enough."""
        train, test = self.train.to(device), self.test.to(device)
        bank = train if self.bank is self.train else self.bank.to(device)
        return replace(self, train=train, bank=bank, test=test)

    @property
    def described(self) -> dict[str, Any]:
        """For provenance and results."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "train": len(self.train),
            "test": len(self.test),
            "classes": self.classes,
            **({"packing": self.packing} if self.packing else {}),
        }


_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_NORMAL = {  # mean and standard deviation of each channel, as the papers' code bases use them
    "embedded": ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),  # the official demo's
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "stl10": ((0.4467, 0.4398, 0.4066), (0.2603, 0.2566, 0.2713)),
    "imagefolder": _IMAGENET,
}


@functools.lru_cache(maxsize=2)
def open_data(data: Data, root: Path) -> DataSet:
    """The recipe's data set under the data root; kept for the process's next stage.

    Raises:
        NoData: it is absent and cannot be downloaded, incomplete, corrupt or too small.
    """
    try:
        return _open(data, root)
    except DataError as error:
        raise NoData(str(error)) from error


def _open(data: Data, root: Path) -> DataSet:
    packing = ""
    if data.name == "embedded":
        size = data.size
        train: Images = Stack(*embedded.generate("train", data.images or EMBEDDED_TRAIN, size))
        test: Images = Stack(*embedded.generate("test", EMBEDDED_TEST, size))
        parts = {"train": train, "bank": train, "test": test}
    elif data.folder is not None and is_packed(root / data.folder):
        train, test, packing = open_packed(root / data.folder)
        parts = {"train": _fixed_subset(train, data), "test": test}
        parts["bank"] = parts["train"]
    elif data.folder is not None:
        folders = open_folder(root / data.folder)
        train, test = map(files_of, folders)
        parts = {"train": _fixed_subset(train, data), "test": test}
        parts["bank"] = parts["train"]
    else:
        parts = _torchvision(data, root)
    # The embedded images are drawn for the recipe's size; elsewhere it is the views' size alone.
    mean, std = _NORMAL[data.name]
    return DataSet(
        name=data.folder or data.name,
        train=parts["train"],
        bank=parts["bank"],
        test=parts["test"],
        classes=int(parts["bank"].labels.max()) + 1,
        mean=mean,
        std=std,
        fingerprint=_fingerprint(
            packing, *dict.fromkeys((parts["train"], parts["bank"], parts["test"]))
        ),
        packing=packing,
    )


def _fixed_subset(images: Images, data: Data) -> Images:
    """`data.images` of the images, the same ones for every seed."""
    if data.images is None or data.images == len(images):
        return images
    if data.images > len(images):
        raise DataError(f"data.images: {data.images} wanted, but {data.name} has {len(images)}")
    chosen = keyed.permutation(keyed.key("subset", data.name), len(images))[: data.images]
    return images.subset(chosen.sort().values)


def _torchvision(data: Data, root: Path) -> dict[str, Images]:
    if data.name == "stl10":
        with _fetching(data.name, root):
            unlabeled = vision.STL10(root, "train+unlabeled", download=True)
            bank = vision.STL10(root, "train", download=True)
            test = vision.STL10(root, "test", download=True)
        # STL-10 keeps its images transposed; torchvision turns them when it loads them.
        stacks = [
            Stack(torch.from_numpy(part.data), torch.from_numpy(part.labels).long())
            for part in (unlabeled, bank, test)
        ]
        return {"train": _fixed_subset(stacks[0], data), "bank": stacks[1], "test": stacks[2]}
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
    kept = _fixed_subset(train, data)
    return {"train": kept, "bank": kept, "test": test}


@contextlib.contextmanager
def _fetching(name: str, root: Path) -> Iterator[None]:
    """torchvision verifies checksums and downloads with a progress bar; we explain its errors."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise DataError(
            f"{name} is not whole under {root} and could not be downloaded ({error}); "
            "put torchvision's files there, or say where they are with --data or in the site file"
        ) from error


def open_folder(path: Path) -> tuple[ImageFolder, ImageFolder]:
    """PATH/train and PATH/val, which hold the same classes.

    Raises:
        DataError: see imagefolder.walk; or a class is in one of them alone.
    """
    train, val = walk(path / "train"), walk(path / "val")
    differing = sorted(set(train.classes) ^ set(val.classes))
    if differing:
        raise DataError(
            f"{shown(path)}: train and val hold different classes: {listed(differing)} only in one "
            "of them; labels would not mean the same"
        )
    return train, val


def listed(classes: Sequence[str]) -> str:
    """The first three classes of many, for a message."""
    more = f" and {len(classes) - 3:,} more" if len(classes) > 3 else ""
    return ", ".join(map(shown, classes[:3])) + more


def files_of(folder: ImageFolder) -> Files:
    """The folder's images, labelled by their classes in order of names."""
    every = [image for images in folder.classes.values() for image in images]
    labels = [n for n, images in enumerate(folder.classes.values()) for _ in images]
    paths = [folder.path / image.name for image in every]
    return Files(paths, torch.tensor(labels), [image.size for image in every])


def _fingerprint(packing: str, *parts: Images) -> str:
    """A pack of the files as they are has the fingerprint of their folder."""
    total = hashlib.sha256(packing.encode())
    for part in parts:
        total.update(_bytes(part.labels))
        if isinstance(part, Stack):
            total.update(_bytes(part.stack))
        elif isinstance(part, Files):
            for path, size in zip(part.paths, part.bytes, strict=True):
                total.update(os.fsencode(f"{path.parent.name}/{path.name}:{size}\0"))
        elif isinstance(part, Packed):
            for name, length in zip(part.names, part.rows[:, LENGTH].tolist(), strict=True):
                total.update(os.fsencode(f"{name}:{length}\0"))
    return total.hexdigest()[:12]


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()
