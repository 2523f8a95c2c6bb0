"""Evaluate given weights, of a run or of a file, on data of the user's choice: by a recipe that
this writes, which then runs like any other."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from harness.app import evaluation_recipe as written
from harness.app.evaluation_recipe import On, Source
from harness.app.progress import Progress
from harness.app.public import public
from harness.app.results import Ran, Submitted
from harness.app.running import run
from harness.app.submitting import submit
from harness.app.trained_run import finished, pretraining
from harness.app.training_images import training_images
from harness.command import Commands
from harness.data_check import lacking
from harness.data_roots import AnyRoot, below
from harness.errors import DataError, RecipeError, StoreError, cannot_be_read
from harness.imagefolder import refuse_bytes
from harness.launch import selection
from harness.launch.selected_launcher import chosen
from harness.recipe.find import ENDINGS, name_of
from harness.recipe.identity import digest
from harness.recipe.load import recipe_node
from harness.recipe.photos import PHOTOS
from harness.recipe.rules import KNOWN_SIZES, STL10_LABELLED
from harness.recipe.schema import Recipe
from harness.recipe.settings import parse_set, suggest_on_error
from harness.recipe.suggest import did_you_mean
from harness.recipe.task import Data, refuse_size
from harness.recipe.task_data import FOLDERS
from harness.recipe.tree import merge, overlay, placed
from harness.recipe.validate import check
from harness.recipe.yaml_source import parse
from harness.site import Site, load_site
from harness.spec.registry import DEFAULT_LAUNCHER
from harness.store.layout import StageFolder

EVALUATIONS = "evaluations"
"""The default folder for these recipes in the run root."""
SUFFIXES = (".pth", ".pt", ".tar", ".safetensors", ".ckpt", ".bin", ".pkl", ".npz", ".h5")
"""Endings of names that can only mean a file of weights."""
FOLDER = "imagefolder"
PREFIX = "model.weights.prefix"
IMAGENET = "ImageNet"
OF_DATA = re.compile(r"(tasks\.\w+\.)?data\.")
"""Settings of what the protocols are fitted to."""


@dataclass(frozen=True)
class Written:
    """The recipe of an evaluation."""

    recipe: Path
    new: bool
    """False: it was there already, the same to the letter."""
    said: str
    """What is evaluated, in words."""
    notes: tuple[str, ...] = ()
    """What may not be meant, in sentences."""


@dataclass(frozen=True)
class Evaluated:
    """Result of one call of `evaluate`."""

    recipe: Path
    """It can be run, reported, checked and published like any other."""
    ran: Ran | Submitted

    @property
    def exit_code(self) -> int:
        """As that of `run` or `submit`."""
        return self.ran.exit_code


@public
def evaluate(
    weights: Path | str,
    on: str | Sequence[str],
    site: Site | None = None,
    *,
    tasks: Sequence[str] = (),
    size: int | None = None,
    to: Path | None = None,
    sets: Sequence[str] = (),
    again: bool = False,
    ask: bool = False,
    launcher: str = DEFAULT_LAUNCHER,
    progress: Progress | None = None,
) -> Evaluated:
    """Evaluate weights as they are, by a recipe that is written first, and report.

    Args:
        weights: a run (a stage's id or folder, a recipe, or a part of a run's name that no other
            run has), or a file of weights in a form of docs/weights.md.
        on: data sets by name, or folders of images under the data root.
        site: the machine; None: from the user's site file.
        tasks: kinds of evaluation; (): those that every recipe has, kNN and the linear probe.
        size: side of the images in pixels; None: that of the run's pre-training or, of a file, 224,
            or 32 for a network with a stem for small images.
        to: the recipe's file; None: one under RUNS/evaluations, named after what it evaluates.
        sets, again, ask, progress: see `run`.
        launcher: the launcher, attached or not; auto: the site file's.

    Raises:
        Declined: the user refused to start long work.
        HarnessError: nothing or several runs are meant; the file holds no network that a recipe can
            build; the data is not there; another recipe has the place; or as `run` and `submit`.
    """
    site = site or load_site()
    made = write(weights, on, site, tasks=tasks, size=size, to=to, sets=sets)
    kind = chosen(launcher, site)
    if kind.attached:
        ran: Ran | Submitted = run(
            made.recipe, site, sets=sets, again=again, ask=ask, on=kind.kind, progress=progress
        )
    else:
        ran = submit(
            made.recipe, site, on=kind.kind, sets=sets, again=again, ask=ask, progress=progress
        )
    return Evaluated(made.recipe, ran)


def write(
    weights: Path | str,
    on: str | Sequence[str],
    site: Site,
    *,
    tasks: Sequence[str] = (),
    size: int | None = None,
    to: Path | None = None,
    sets: Sequence[str] = (),
) -> Written:
    """Write the recipe of an evaluation; nothing is run. See `evaluate`.

    Raises:
        HarnessError: as `evaluate`.
    """
    refuse_size(size)
    kinds = written.chosen_kinds(tasks or written.usual_kinds())
    named = list(dict.fromkeys([on] if isinstance(on, str) else on))
    data = [_on(word, site.data) for word in named]
    if not data:
        raise RecipeError("no data to evaluate on; name some")
    source = _source(str(weights), data, site, sets)
    fitted = [each for each in sets if OF_DATA.match(each)]
    called = written.name_of(source, data, kinds, size, fitted)
    path = to or site.runs / EVALUATIONS / f"{called}.yaml"
    name = name_of(path, "name another with --to")
    changed = functools.partial(_changed, sets=fitted, side=size or source.size, root=site.data)
    text = written.text(source, data, kinds, name=name, size=size, changed=changed)
    _refuse_without_data(path, text, sets, site)
    new = written.put(path, text, site)
    said = f"{source.said} on {', '.join(each.name for each in data)}"
    return Written(path, new, said, tuple(each.note for each in data if each.note))


def _refuse_without_data(path: Path, text: str, sets: Sequence[str], site: Site) -> None:
    """Raise a DataError if data of the recipe is missing and no run downloads it; a RecipeError if
    a setting cannot be accepted."""
    node = parse(text, str(path))
    recipe = suggest_on_error(sets, lambda tried: check(Recipe, recipe_node(path, node, tried)))
    if wrong := lacking([recipe], site.data):
        raise DataError("\n".join(wrong))


# ---- the data


def _changed(section: str, on: On, *, sets: Sequence[str], side: int, root: AnyRoot) -> On:
    """The data set with the settings of its section, and the number of images that they leave. A
    setting that cannot be accepted changes nothing here: the whole recipe's check refuses it."""
    given = [parse_set(each) for each in sets]
    own = [(path, node) for path, node in given if path.startswith(f"{section}.")]
    if not own:
        return on
    place = own[0][1].place
    whole = placed({"size": side, **on.data}, place)
    inner = [(path.removeprefix(f"{section}."), node) for path, node in own]
    try:
        data = check(Data, merge(whole, overlay(inner, place)))
    except RecipeError:
        return on
    bank = on.bank if data.folder is None else training_images(root / data.folder, data)
    if data.images is not None:
        bank = data.images if bank is None else min(bank, data.images)
    said = data.model_dump(mode="json", exclude_defaults=True)
    return replace(on, data={"name": data.name, **said}, bank=bank)


def _on(word: str, root: AnyRoot) -> On:
    """The data set of that name, or the folder of images.

    Raises:
        DataError: there is neither.
    """
    names = [name for name in get_args(Data.model_fields["name"].annotation) if name not in FOLDERS]
    if word in names:
        bank = STL10_LABELLED if word == "stl10" else KNOWN_SIZES.get(word)
        note = ""
        theirs = Path(PHOTOS[word].folder).parts[0] if word in PHOTOS else ""
        there = (each for each in (Path(word), root / word) if each.is_dir())
        own = next((each for each in there if below(each, root) not in (None, ".")), None)
        if own is not None and word != theirs:
            named = f"./{own}" if own == Path(word) else own
            note = f"{word} is the data set of that name; for the folder, say --on {named}"
        return On({"name": word}, word, bank, note)
    places = [each for each in (Path(word), root / word) if word and each.is_dir()]
    if not word.startswith(".") and len(places) > 1 and below(places[0], root) in (None, "."):
        places = places[1:]  # a plain name may mean either; only this one can be evaluated
    place = next(iter(places), None)
    if place is None:
        raise DataError(
            f"--on {word}: no folder of images, here or under the data root {root}, and no data "
            f"set's name{did_you_mean(word, names)}"
        )
    folder = below(place, root)
    refuse_bytes(place)
    if folder is None or folder == ".":
        whole = Path(os.path.abspath(place))  # noqa: PTH100 - links stay as the user has them
        raise DataError(
            f"--on {word}: a recipe names folders under the data root, which is {root}; say --data "
            f"{whole.parent}, or put a link to {whole} there"
        )
    return On({"name": FOLDER, "folder": folder}, _named(folder, names), training_images(place))


def _named(folder: str, sets: Collection[str]) -> str:
    """A short name for a folder under the data root that no other folder, and no data set, has."""
    name = written.slug(Path(folder).name, "folder", 32)
    return name if name == folder and name not in sets else f"{name}-{digest(folder)[:6]}"


# ---- the weights


def _source(word: str, on: Sequence[On], site: Site, sets: Sequence[str]) -> Source:
    """The run or the file.

    Raises:
        HarnessError: it is neither, or cannot be evaluated.
    """
    file = _file(word, site.data)
    if file is not None:
        return _of_file(file, on, site, sets)
    place = Path(word)
    if word and place.is_dir() and not StageFolder(place).begun:
        inside = sorted(each.name for each in place.iterdir() if each.suffix in SUFFIXES)
        mend = f"name the file in it: {', '.join(inside[:3])}" if inside else "name a file or a run"
        raise StoreError(f"{word}: a folder, but none of a run; {mend}")
    return _of_run(word, on, site)


def _file(word: str, root: AnyRoot) -> Path | None:
    """The file of weights; None if the word means a run.

    Raises:
        DataError: it can only mean a file, and there is none.
    """
    if word.endswith(ENDINGS):
        return None
    found = next((each for each in (Path(word), root / word) if word and each.is_file()), None)
    if found is None and word.endswith(SUFFIXES) and not Path(word).is_dir():
        raise DataError(
            f"{word}: no such file, here or under the data root {root}; name the file, or a run"
        )
    return found


def _of_run(word: str, on: Sequence[On], site: Site) -> Source:
    from harness.export.measured import recipe_of

    entry = finished(pretraining(word, (), site), Commands(site.runs, site.file))
    recipe, _ = recipe_of(entry)
    folder, model = entry.folder, recipe.model
    if model.layout == "msra":
        raise RecipeError(f"{folder.id}: MSRA's network, which only detectors build")
    place = folder.path.absolute()
    beside = place.parent == site.runs.absolute()
    trained = recipe.data
    known = {"name": trained.name, **({"folder": trained.folder} if trained.folder else {})}
    notes = [
        f"Images of {each.name} are normalised with {_statistics(each.data)}'s mean and deviation, "
        f"those of pre-training on {trained.folder or trained.name} with {_statistics(known)}'s."
        for each in on
        if _statistics(each.data) != _statistics(known)
    ]
    return Source(
        said=f"the run {folder.id}",
        name=f"{written.slug(selection.name(folder.id))}-{folder.id.rpartition('-')[2]}",
        weights={"run": folder.id if beside else str(place)},
        model={each: getattr(model, each) for each in ("backbone", "width", "head", "dim")},
        read="the run's",
        size=trained.size,
        size_from="that of the run's pre-training",
        precision=recipe.precision,
        precision_from="the run's",
        notes=tuple(notes),
    )


def _statistics(data: Mapping[str, Any]) -> str:
    """The data set whose mean and deviation normalise the images: their own, or ImageNet."""
    name = str(data["name"])
    return IMAGENET if name in (*FOLDERS, *PHOTOS) else name


def _of_file(path: Path, on: Sequence[On], site: Site, sets: Sequence[str]) -> Source:
    from harness.model.recognise import recognise

    refuse_bytes(path)
    settings = (parse_set(each) for each in sets)
    prefix = next((node.value for field, node in settings if field == PREFIX), None)
    found = recognise(path, prefix if isinstance(prefix, str) else None)
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(cannot_be_read(error, path)) from error
    place = below(path, site.data) or os.path.abspath(path)  # noqa: PTH100 - links stay as the user has them
    small = found.backbone == "miniature" or found.backbone.endswith("_cifar")
    stem = re.sub(r"(\.(pth|pt|tar|ckpt|bin|safetensors|pkl))+$", "", path.name)
    model: dict[str, Any] = {"backbone": found.backbone, "width": found.width}
    notes = [
        f"Images of {each.name} are normalised with that data set's mean and deviation; the file "
        "does not say which those of its training were normalised with."
        for each in on
        if _statistics(each.data) != IMAGENET
    ]
    if found.head is not None:
        model |= {"head": found.head, "dim": found.dim}
    return Source(
        said=f"the weights {path.name}",
        name=f"{written.slug(stem)}-{sha256[:8]}",
        weights={"file": place, "sha256": sha256},
        model=model,
        read="read from the file's tensors",
        size=32 if small else 224,
        size_from="usual for its stem for small images" if small else "usual for its stem",
        precision="fp32",
        precision_from="of a file: the most exact",
        notes=tuple(notes),
    )
