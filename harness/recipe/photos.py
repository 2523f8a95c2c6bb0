"""Published data sets of photos: their files under the data root, their split and their metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.spec.declarations import PER_CLASS

DataMetric = Literal["top1", "mean_per_class"]

PhotoName = Literal[
    "imagenette",
    "flowers102",
    "pets",
    "dtd",
    "aircraft",
    "food101",
    "sun397",
    "caltech101",
    "eurosat",
]


@dataclass(frozen=True)
class PhotoSet:
    """One data set.

    Attributes:
        folder: where its files are, relative to the data root (where torchvision puts them).
        needs: files and folders in it without which it is not there.
        lists: those of `needs` that say which images there are and of which class.
        split: which images are for training and which for testing, in words.
        train, test, classes: the published numbers.
        metric: the metric that it is published with.
        archive: size of the download; "": it is not downloaded.
        source: where its files are to be had, where they are not downloaded.
        package: a package that reads its lists; "": none is needed.
    """

    folder: str
    needs: tuple[str, ...]
    split: str
    train: int
    test: int
    classes: int
    lists: tuple[str, ...] = ()
    metric: DataMetric = "top1"
    archive: str = ""
    source: str = ""
    package: str = ""

    def no_package(self, name: str) -> str:
        """The message that the package is not installed."""
        return (
            f"{name}: its labels are files that {self.package} reads, which is not installed; "
            f"install it: pip install 'moco-harness[{name}]'"
        )


_SUN = "https://vision.princeton.edu/projects/2010/SUN"

PHOTOS: dict[str, PhotoSet] = {
    "imagenette": PhotoSet(
        "imagenette2",
        ("train", "val"),
        "train; test: val",
        9_469,
        3_925,
        10,
        archive="1.5 GB",
    ),
    "flowers102": PhotoSet(
        "flowers-102",
        ("jpg", "imagelabels.mat", "setid.mat"),
        "train + val (20 images of each class); test",
        2_040,
        6_149,
        102,
        lists=("imagelabels.mat", "setid.mat"),
        metric=PER_CLASS,
        archive="350 MB",
        package="scipy",
    ),
    "pets": PhotoSet(
        "oxford-iiit-pet",
        ("images", "annotations/trainval.txt", "annotations/test.txt"),
        "trainval; test",
        3_680,
        3_669,
        37,
        lists=("annotations/trainval.txt", "annotations/test.txt"),
        metric=PER_CLASS,
        archive="810 MB",
    ),
    "dtd": PhotoSet(
        "dtd/dtd",
        ("images", "labels/train1.txt", "labels/val1.txt", "labels/test1.txt"),
        "split 1 of 10: train + val; test",
        3_760,
        1_880,
        47,
        lists=("labels/train1.txt", "labels/val1.txt", "labels/test1.txt"),
        archive="630 MB",
    ),
    "aircraft": PhotoSet(
        "fgvc-aircraft-2013b/data",
        ("images", "variants.txt", "images_variant_trainval.txt", "images_variant_test.txt"),
        "variants: trainval; test",
        6_667,
        3_333,
        100,
        lists=("variants.txt", "images_variant_trainval.txt", "images_variant_test.txt"),
        metric=PER_CLASS,
        archive="2.8 GB",
    ),
    "food101": PhotoSet(
        "food-101",
        ("images", "meta/train.json", "meta/test.json"),
        "train; test",
        75_750,
        25_250,
        101,
        lists=("meta/train.json", "meta/test.json"),
        archive="5 GB",
    ),
    "sun397": PhotoSet(
        "SUN397",
        ("ClassName.txt", "Training_01.txt", "Testing_01.txt"),
        "partition 1 of 10: Training_01; Testing_01",
        19_850,
        19_850,
        397,
        lists=("ClassName.txt", "Training_01.txt", "Testing_01.txt"),
        source=f"unpack {_SUN}/SUN397.tar.gz into the data root, and {_SUN}/download/"
        "Partitions.zip into the folder SUN397 that it makes",
    ),
    "caltech101": PhotoSet(
        "caltech101/101_ObjectCategories",
        (".",),
        "30 images of each category, drawn once for every seed; test: the others (categories "
        "without BACKGROUND_Google, as in torchvision)",
        3_030,
        5_647,
        101,
        metric=PER_CLASS,
        archive="140 MB",
    ),
    "eurosat": PhotoSet(
        "eurosat/2750",
        (".",),
        "no split is published: 80 % of each class, drawn once for every seed; test: the others",
        21_600,
        5_400,
        10,
        archive="95 MB",
    ),
}
"""Every set by its name in a recipe. Numbers and splits: the sets' papers and torchvision."""
