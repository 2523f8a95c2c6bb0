"""Whether the data are where a run would read them. Only names are checked, no file is opened."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness import box_files, class_folders, mask_files
from harness.data_roots import AnyRoot, each, holders
from harness.errors import DataError, cannot_be_read
from harness.imagefolder import some
from harness.recipe.detection import BOX_FOLDERS, DetectionTask
from harness.recipe.finetune import FinetuneTask
from harness.recipe.photos import PHOTOS
from harness.recipe.schema import Data, Recipe
from harness.recipe.segmentation import MASK_FOLDERS, NEEDS_SCIPY, SegmentationTask
from harness.recipe.svm import LABELLED_FOLDERS, LabelledImages, SvmLowShotTask, SvmTask

DOWNLOADED = {  # torchvision unpacks the archive into the folder; one of the two is enough
    "cifar10": ("cifar-10-batches-py", "cifar-10-python.tar.gz", "170 MB"),
    "cifar100": ("cifar-100-python", "cifar-100-python.tar.gz", "170 MB"),
    "stl10": ("stl10_binary", "stl10_binary.tar.gz", "2.6 GB"),
}
"""Data set -> its folder, its archive and the archive's size."""


WEIGHTS = {
    Path(address).name: address
    for address in (
        "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v1_200ep/moco_v1_200ep_pretrain.pth.tar",
        "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v2_200ep/moco_v2_200ep_pretrain.pth.tar",
        "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar",
        "https://download.pytorch.org/models/resnet50-0676ba61.pth",
        "https://download.openmmlab.com/pretrain/third_party/resnet50_msra-5891d200.pth",
    )
}
"""Published weights that recipes name: file name -> where it can be downloaded."""

VOC_LABELS = ("Annotations", "ImageSets/Main/trainval.txt", "ImageSets/Main/test.txt")
"""What an evaluation on VOC 2007 reads besides the images."""


class DataCheck(NamedTuple):
    """One data set or one file of weights, as a plan reports it."""

    there: bool
    says: str
    comes: bool = False
    """Whether a run downloads it."""


def check_data(recipes: Iterable[Recipe], root: AnyRoot) -> list[DataCheck]:
    """The data that the recipes and their further tasks need under the data root, each once; none
    for embedded images.

    Data that are present may still be incomplete: a run verifies them.
    """
    found: dict[DataCheck, None] = {}
    for recipe in recipes:
        found.update(dict.fromkeys(_needs(recipe, root)))
    return list(found)


def lacking(recipes: Iterable[Recipe], root: AnyRoot) -> list[str]:
    """What is missing or does not fit, and is downloaded by no run, in sentences."""
    return [one.says for one in check_data(recipes, root) if not one.there and not one.comes]


def lacking_later(recipes: Iterable[Recipe], root: AnyRoot) -> list[str]:
    """As `lacking`, only of the further tasks, which open their data when pre-training is over."""
    found = [one for recipe in recipes for one in _needs_later(recipe, root)]
    return list(dict.fromkeys(one.says for one in found if not one.there and not one.comes))


def _further(recipe: Recipe) -> list[Data]:
    return [task.data for task in recipe.tasks.values() if task.data is not None]


def _needs_later(recipe: Recipe, root: AnyRoot) -> Iterator[DataCheck]:
    for data in dict.fromkeys(_further(recipe)):
        yield from _readable(_data(data, root), root)
    for name, task in recipe.tasks.items():
        if isinstance(task, SegmentationTask):
            yield from _readable(_masks(f"tasks.{name}", task, root), root)
        elif isinstance(task, SvmTask | SvmLowShotTask):
            yield from _readable(_labelled(f"tasks.{name}.images", task.images, root), root)
        elif isinstance(task, DetectionTask):
            yield from _readable(boxes_there(f"tasks.{name}.boxes", task, root), root)
        elif isinstance(task, FinetuneTask) and task.labels_file is not None:
            file = _file(f"tasks.{name}.labels_file missing", task.labels_file, root)
            yield from _readable(file, root)


def _masks(at: str, task: SegmentationTask, root: AnyRoot) -> Iterator[DataCheck]:
    field, masks = f"{at}.masks", task.masks
    if masks.name == NEEDS_SCIPY and importlib.util.find_spec("scipy") is None:
        yield DataCheck(
            False, f"{field}: {masks.name} needs scipy: pip install 'moco-harness[sbd]'"
        )
        return
    need = MASK_FOLDERS[masks.name]
    asked = {f"{field}.images": masks.images, f"{at}.batch": task.batch}
    yield from _files(field, "masks", masks.name, need, root, mask_files.files_of, asked)


def boxes_there(field: str, task: DetectionTask, root: AnyRoot) -> Iterator[DataCheck]:
    """What a detection task needs: the folders of its data set, and the package that evaluates it.

    Args:
        field: where the recipe names the data set, for the message.
    """
    evaluators = ("faster_coco_eval", "pycocotools")
    name = task.boxes.name
    if task.is_evaluated_as_coco and not any(map(importlib.util.find_spec, evaluators)):
        what = f"{name}, evaluated as COCO is," if name != "coco2017" else name
        mend = "pip install 'moco-harness[detection]'"
        yield DataCheck(False, f"{field}: {what} needs pycocotools: {mend}")
        return
    asked = {f"{field}.images": task.boxes.images, f"{field.rpartition('.')[0]}.batch": task.batch}
    yield from _files(field, "boxes", name, BOX_FOLDERS[name], root, box_files.files_of, asked)


def _files(
    field: str,
    what: str,
    name: str,
    needs: Sequence[str],
    root: AnyRoot,
    files_of: mask_files.List,
    asked: Mapping[str, int | None],
) -> Iterator[DataCheck]:
    """The folders of a data set, and every file that its lists name. Folders are listed; no image
    is opened.

    Args:
        asked: fields of the recipe, each a number of training images that must be there.
    """
    lacks = [need for need in needs if not (root / need).is_dir()]
    if lacks:
        places = " and no ".join(str(root / need) for need in lacks)
        mend = "unpack it so that it lies there, or name the data root with --data"
        yield DataCheck(False, f"{field}: {name} missing: no folder {places}; {mend}")
    elif needs:
        try:
            parts, _ = files_of(name, root)
        except DataError as error:
            yield DataCheck(False, f"{field}: {error}")
            return
        if not all(parts):
            which = "test" if parts[0] else "train"
            mend = "restore its lists and folders from the data set's source"
            yield DataCheck(False, f"{field}: {name} names no image to {which} on; {mend}")
            return
        gone = mask_files.absent([path for part in parts for path in part])
        if gone:
            listed = some([str(path) for path in gone])
            mend = "restore them from the data set's source"
            yield DataCheck(False, f"{field}: {name} lacks {len(gone):,} files: {listed}; {mend}")
            return
        lists = what == "boxes" and name == "coco2017"  # one file of annotations, else one each
        images = len(parts[0]) - 1 if lists else len(parts[0]) // 2
        more = {at: said for at, said in asked.items() if said is not None and said > images}
        for at, said in more.items():
            yield DataCheck(
                False,
                f"{at}: {said:,}, but {name} has only {images:,} images to train on; lower it",
            )
        if not more:
            places = " and ".join(str(root / need) for need in needs)
            yield DataCheck(True, f"{what}: {name} in {places}")


def _labelled(field: str, images: LabelledImages, root: AnyRoot) -> Iterator[DataCheck]:
    folders = LABELLED_FOLDERS[images.name]
    if not folders:
        return
    place = root / folders[0]
    lacks = [part for part in ("JPEGImages", *VOC_LABELS) if not (place / part).exists()]
    if lacks:
        says = f"{field}: {images.name} missing: no {' and no '.join(lacks)} in {place}"
        top = place.parents[folders[0].count("/")]
        mend = f"unpack VOCtrainval and VOCtest in {top}, or name the data root with --data"
        yield DataCheck(False, f"{says}; {mend}")
    else:
        yield DataCheck(True, f"images: {images.name} in {place}")


def _needs(recipe: Recipe, root: AnyRoot) -> Iterator[DataCheck]:
    yield from _readable(_data(recipe.data, root), root)
    yield from _needs_later(recipe, root)
    weights = recipe.model.weights
    if weights is not None and weights.file is not None:
        source = recipe.about.source or ""
        yield from _readable(_file("weights missing", weights.file, root, source), root)


def _file(what: str, name: str, root: AnyRoot, source: str = "") -> Iterator[DataCheck]:
    """`source`: what the recipe names as its own, which may be the file's address."""
    if not (root / name).is_file():
        last = Path(name).name
        address = source if source.endswith(f"/{last}") else WEIGHTS.get(last, "the file")
        yield DataCheck(False, f"{what}: {root / name}; download {address} to this path")


def _readable(found: Iterator[DataCheck], root: AnyRoot) -> Iterator[DataCheck]:
    """What is found; a folder that cannot be read is reported, not raised."""
    try:
        yield from found
    except OSError as error:
        path = Path(error.filename or each(root)[0])
        yield DataCheck(False, f"data: {cannot_be_read(error, path)}")


def _data(data: Data, root: AnyRoot) -> Iterator[DataCheck]:
    if data.name in DOWNLOADED:
        folder, archive, size = DOWNLOADED[data.name]
        yield _set(data.name, root, holders(root, folder, archive), size)
    elif data.name in PHOTOS:
        about = PHOTOS[data.name]
        place = root / about.folder
        if about.package and importlib.util.find_spec(about.package) is None:
            yield DataCheck(False, f"data: {about.no_package(data.name)}")
            return
        lacks = [need for need in about.needs if not (place / need).exists()]
        if lacks and (place.is_dir() or not about.archive):
            says = f"data missing: no {' and no '.join(lacks)} of {data.name} in {place}"
            mend = about.source or "remove the folder, and `run` downloads it again"
            yield DataCheck(False, f"{says}; {mend}, or name its folder with --data")
            return
        yield _set(data.name, root, holders(root, about.folder), about.archive)
    elif data.folder is not None:
        yield _folder(data, root)


def _set(name: str, root: AnyRoot, found: list[Path], size: str) -> DataCheck:
    """A set that a run downloads if no root holds it."""
    if found:
        return DataCheck(True, f"data: {name} in {found[0]}{_also(found)}")
    first = each(root)[0]
    lacks = f"data missing: {name} is not in {' or '.join(map(str, each(root)))}"
    if _may_write(first):
        to = "" if len(each(root)) == 1 else f" to {first}"
        says = f"{lacks}; `run` downloads it{to} ({size}), or name its folder with --data"
        return DataCheck(False, says, comes=True)
    where = "which" if len(each(root)) == 1 else f"and {first}"
    return DataCheck(False, f"{lacks}, {where} is not writable; name its folder with --data")


def _folder(data: Data, root: AnyRoot) -> DataCheck:
    assert data.folder is not None
    place = root / data.folder
    also = _also(holders(root, data.folder))
    if data.split is not None or not data.labelled:
        if place.is_dir():
            return DataCheck(True, f"data: {place}{also}")
        return DataCheck(False, f"data missing: no folder {place}; name the data root with --data")
    lacks = [part for part in ("train", "val") if not (place / part).is_dir()]
    if lacks:
        mend = "name the data root with --data"
        if place.is_dir():
            mend = (
                "an image folder holds train/<class>/<image> and val/<class>/<image>; from "
                "class folders alone data.split makes a test set; pictures need no classes"
            )
        return DataCheck(False, f"data missing: no {' and no '.join(lacks)} in {place}; {mend}")
    if data.test is None:
        return DataCheck(True, f"data: {place}{also}")
    test = root / data.test
    if not test.is_dir():
        says = f"data missing: no {data.test} in {root}, which data.test names; put it there"
        return DataCheck(False, says)
    try:
        class_folders.check(place, test)
    except DataError as error:
        return DataCheck(False, str(error))
    also += f", tested on {test}{_also(holders(root, data.test))}"
    return DataCheck(True, f"data: {place}{also}")


def _also(found: list[Path]) -> str:
    """That other data roots hold the same, and are not used."""
    return f" (also in {', '.join(map(str, found[1:]))}: not used)" if len(found) > 1 else ""


def _may_write(root: Path) -> bool:
    """Whether the folder can be written, or created."""
    place = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
