"""Small data sets with masks, in the layouts that are published."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from harness.data.scene_files import write_voc
from harness.data.scenes import scene
from harness.mask_files import CITY_IMAGE, CITY_MASK


def voc2012(root: Path, train: int = 3, val: int = 2) -> Path:
    """Scenes as VOC 2012, whose lists are train and val; returns its folder."""
    write_voc(root / "VOCdevkit", "train", train)
    write_voc(root / "VOCdevkit", "test", val)
    folder = (root / "VOCdevkit" / "VOC2007").rename(root / "VOCdevkit" / "VOC2012")
    lists = folder / "ImageSets" / "Segmentation"
    (lists / "trainval.txt").rename(lists / "train.txt")
    (lists / "test.txt").rename(lists / "val.txt")
    return folder


def sbd(root: Path, voc: Path, train: list[str], val: list[str]) -> Path:
    """Masks named .mat, which hold arrays of numpy's; images in VOC's folder. Each is all 7s."""
    folder = root / "sbd" / "dataset"
    (folder / "cls").mkdir(parents=True)
    photo = next((voc / "JPEGImages").iterdir())
    for name in (*train, *val):
        with (folder / "cls" / f"{name}.mat").open("wb") as file:
            np.save(file, np.full((48, 48), 7, dtype=np.uint8))
        if not (voc / "JPEGImages" / f"{name}.jpg").exists():
            shutil.copy(photo, voc / "JPEGImages" / f"{name}.jpg")
    (folder / "train.txt").write_text("\n".join(train))
    (folder / "val.txt").write_text("\n".join(val))
    return folder


def cityscapes(root: Path) -> Path:
    """Two cities in train, one in val; labelIds 0 to 33 in columns. Returns the masks' folder."""
    masks = root / "cityscapes" / "gtFine"
    for split, city in (("train", "bonn"), ("train", "aachen"), ("val", "ulm")):
        name = f"{city}_000000_000019"
        (inside := root / "cityscapes" / "leftImg8bit" / split / city).mkdir(parents=True)
        (masks / split / city).mkdir(parents=True)
        pixels = torch.zeros(4, 34, 3, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(inside / f"{name}{CITY_IMAGE}")
        labels = np.tile(np.arange(34, dtype=np.uint8), (4, 1))
        Image.fromarray(labels).save(masks / split / city / f"{name}{CITY_MASK}")
    return masks


def semantic(index: int) -> torch.Tensor:
    """The mask of a training scene."""
    return scene("train", index).semantic
