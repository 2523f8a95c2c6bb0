"""A few images in the layout of each published data set, as torchvision unpacks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

CLASSES = ("first", "second")
TRAIN, TEST = 3, 2
"""Images of each class, where the set says which are for training."""
DRAWN = 35
"""Images of each class, where the harness draws the split."""


def image(path: Path, label: int = 0, n: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24 + n, 20), (120 * label, 6 * n, 90)).save(path)


def lines(path: Path, said: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in said))


def parts() -> list[tuple[str, int, int]]:
    """(part, class, number of the image) of each image; val has the last of the training images."""
    found = []
    for label in range(len(CLASSES)):
        for n in range(TRAIN + TEST):
            part = "test" if n >= TRAIN else "val" if n == TRAIN - 1 else "train"
            found.append((part, label, n))
    return found


def imagenette(root: Path) -> None:
    for part, label, n in parts():
        split = "val" if part == "test" else "train"
        image(root / f"imagenette2/{split}/{CLASSES[label]}/{n}.JPEG", label, n)


def flowers102(root: Path) -> None:
    from scipy.io import savemat

    place = root / "flowers-102"
    every = parts()
    for i, (_, label, n) in enumerate(every, 1):
        image(place / f"jpg/image_{i:05d}.jpg", label, n)
    ids = {
        key: [i for i, (part, _, _) in enumerate(every, 1) if part == name]
        for key, name in (("trnid", "train"), ("valid", "val"), ("tstid", "test"))
    }
    savemat(place / "setid.mat", ids)
    savemat(place / "imagelabels.mat", {"labels": [label + 1 for _, label, _ in every]})


def pets(root: Path) -> None:
    place = root / "oxford-iiit-pet"
    said: dict[str, list[str]] = {"trainval": [], "test": []}
    for part, label, n in parts():
        name = f"{CLASSES[label].title()}_cat_{n}"
        image(place / f"images/{name}.jpg", label, n)
        image(place / f"annotations/trimaps/{name}.png", label, n)
        said["test" if part == "test" else "trainval"].append(f"{name} {label + 1} 1 1")
    for part, found in said.items():
        lines(place / f"annotations/{part}.txt", found)


def dtd(root: Path) -> None:
    place = root / "dtd/dtd"
    for split in (1, 2):  # another split, which nobody asks for
        for wanted in ("train", "val", "test"):
            said = [f"{CLASSES[k]}/{CLASSES[k]}_{n}.jpg" for p, k, n in parts() if p == wanted]
            lines(place / f"labels/{wanted}{split}.txt", said if split == 1 else said[:1])
    for _, label, n in parts():
        image(place / f"images/{CLASSES[label]}/{CLASSES[label]}_{n}.jpg", label, n)


def aircraft(root: Path) -> None:
    place = root / "fgvc-aircraft-2013b/data"
    variants = ["A 300", "B-52 H"]
    said: dict[str, list[str]] = {"trainval": [], "test": []}
    for part, label, n in parts():
        image(place / f"images/{label}00{n}.jpg", label, n)
        chosen = "test" if part == "test" else "trainval"
        said[chosen].append(f"{label}00{n} {variants[label]}")
    lines(place / "variants.txt", variants)
    for part, found in said.items():
        lines(place / f"images_variant_{part}.txt", found)


def food101(root: Path) -> None:
    place = root / "food-101"
    said: dict[str, dict[str, list[str]]] = {
        part: {name: [] for name in reversed(CLASSES)} for part in ("train", "test")
    }
    for part, label, n in parts():
        image(place / f"images/{CLASSES[label]}/{n}.jpg", label, n)
        chosen = "test" if part == "test" else "train"
        said[chosen][CLASSES[label]].append(f"{CLASSES[label]}/{n}")
    for part, found in said.items():
        lines(place / f"meta/{part}.json", [json.dumps(found)])


def sun397(root: Path) -> None:
    place = root / "SUN397"
    names = ["/f/first", "/s/second/indoor"]
    said: dict[str, list[str]] = {"Training": [], "Testing": []}
    for part, label, n in parts():
        image(place / f"{names[label][1:]}/sun_{n}.jpg", label, n)
        chosen = "Testing" if part == "test" else "Training"
        said[chosen].append(f"{names[label]}/sun_{n}.jpg")
    lines(place / "ClassName.txt", names)
    for part, found in said.items():
        lines(place / f"{part}_01.txt", found)


def caltech101(root: Path) -> None:
    place = root / "caltech101/101_ObjectCategories"
    for label, name in enumerate(CLASSES):
        for n in range(DRAWN):
            image(place / f"{name}/image_{n + 1:04d}.jpg", label, n)
    image(place / "BACKGROUND_Google/image_0001.jpg")


def eurosat(root: Path) -> None:
    for label, name in enumerate(CLASSES):
        for n in range(DRAWN):
            image(root / f"eurosat/2750/{name}/{name}_{n}.jpg", label, n)


TREES: dict[str, Callable[[Path], None]] = {
    "imagenette": imagenette,
    "flowers102": flowers102,
    "pets": pets,
    "dtd": dtd,
    "aircraft": aircraft,
    "food101": food101,
    "sun397": sun397,
    "caltech101": caltech101,
    "eurosat": eurosat,
}
