"""A recipe as a list of facts in plain words, so that two recipes can be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.recipe.difference import difference
from harness.recipe.labels import label, labelled
from harness.recipe.reference import papers
from harness.recipe.rules import KNOWN_SIZES
from harness.recipe.schema import Augment, Recipe
from harness.recipe.section import last_part

NONE = "none"

IMAGENET_FOLDERS = ("imagenet", "imagenet1k", "imagenet-1k", "ilsvrc2012")
IMAGENET = "ImageNet-1M, 1.28 million images"

NOT_FACTS = ("name", "seed", "linear", "tasks", "watch", "about")
"""Fields that are no fact of a run; also the linear probe, which is compared with the papers'
separately, and further tasks, which have their own table."""


@dataclass(frozen=True)
class Fact:
    """A fact that combines several fields."""

    label: str
    fields: tuple[str, ...]
    """Fields and sections that the fact covers."""
    say: Callable[[Recipe], str]
    also: tuple[str, ...] = ()
    """Fields that have their own facts and may change this one too."""


IMAGES = (
    *("data.name", "data.folder", "data.images", "data.split"),
    *("data.test", "data.test_view"),
)


def epochs(recipe: Recipe) -> str:
    """ "200", or "200 (stopped after 97 steps)" where `optim.steps` ends pre-training earlier."""
    stop = recipe.optim.steps
    return f"{recipe.optim.epochs}" + (f" (stopped after {stop} steps)" if is_cut(recipe) else "")


def is_cut(recipe: Recipe) -> bool:
    """Whether `optim.steps` ends pre-training before its epochs, as far as the data are known."""
    images = recipe.data.images or KNOWN_SIZES.get(recipe.data.name)
    whole = recipe.optim.epochs * (images // recipe.optim.batch) if images else None
    stop = recipe.optim.steps
    return stop is not None and (whole is None or stop < whole)


def composed() -> tuple[Fact, ...]:
    """The facts that combine several fields, in the order of the list."""
    return (
        Fact("training images", IMAGES, images),
        Fact(label("data.size"), ("data.size",), lambda recipe: str(recipe.data.size)),
        Fact("backbone", ("model.backbone", "model.width"), backbone),
        Fact("given weights", ("model.weights",), _weights),
        Fact("continues", ("continue_from",), _continues),
        Fact(
            "negatives, K",
            ("contrast.queue", "contrast.negatives"),
            negatives_text,
            also=("contrast.kind", "optim.batch"),
        ),
        Fact("schedule", ("optim.schedule",), schedule),
        Fact("further views", ("views",), views, also=("augment",)),
    )


def facts(recipe: Recipe) -> dict[str, str]:
    """All settings that decide a result except the seed and the probe: name -> value."""
    told = composed()
    found = {fact.label: fact.say(recipe) for fact in told}
    elsewhere = (*NOT_FACTS, *(field for fact in told for field in fact.fields))
    for path, words, value in labelled(recipe):
        if not _within(path, elsewhere):
            found[words] = _said(value)
    return found


def differing(
    ours: Recipe, theirs: Recipe, left_out: tuple[str, ...] = ()
) -> dict[str, tuple[str, str]]:
    """Differences between two recipes: fact -> (ours, theirs), in the order of the facts.

    Args:
        left_out: sections that are not compared.
    """
    passed = (*NOT_FACTS, *left_out)
    fields = [field for field, _, _ in difference(ours, theirs) if not _within(field, passed)]
    telling: list[tuple[tuple[str, ...], str]]
    telling = [((path,), words) for each in (ours, theirs) for path, words, _ in labelled(each)]
    telling += [((*fact.fields, *fact.also), fact.label) for fact in composed()]
    concerned = {
        words for places, words in telling if any(_within(field, places) for field in fields)
    }
    here, there = facts(ours), facts(theirs)
    pairs = {what: (here.get(what, NONE), there.get(what, NONE)) for what in {**here, **there}}
    return {what: pair for what, pair in pairs.items() if what in concerned and pair[0] != pair[1]}


def _within(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or path.startswith(f"{place}.") for place in places)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    if isinstance(value, float):
        return f"{value:g}"
    return NONE if value is None else str(value).replace("_", " ")


def images(recipe: Recipe) -> str:
    """The training data, e.g. "embedded, 2000 images", and test images from elsewhere."""
    data = recipe.data
    tested = ""
    if data.test is not None:
        tested = f", tested on {data.test}" + (" uncut" if data.test_view == "whole" else "")
    if is_imagenet(recipe):
        return IMAGENET + tested
    where = f"{data.name} {data.folder}" if data.folder else data.name
    count = "all images" if data.images is None else f"{data.images} images"
    split = "" if data.split is None else f" but {100 * data.split:g} % of each class"
    return f"{where}, {count}{split}{tested}"


def is_imagenet(recipe: Recipe) -> bool:
    """Whether it trains on all images of a folder with ImageNet's name."""
    folder = (recipe.data.folder or "").rstrip("/").rpartition("/")[2].lower()
    return folder in IMAGENET_FOLDERS and recipe.data.images is None


def _weights(recipe: Recipe) -> str:
    weights = recipe.model.weights
    if weights is None:
        return NONE
    return weights.named + (", with a new head" if weights.head == "new" else "")


def _continues(recipe: Recipe) -> str:
    return NONE if recipe.continue_from is None else last_part(recipe.continue_from)


def backbone(recipe: Recipe) -> str:
    """The network without its head."""
    model = recipe.model
    name = "ResNet-50" if model.backbone == "resnet50" else model.backbone
    return name + (f", width ×{model.width}" if model.width != 1 else "")


def negatives(recipe: Recipe) -> int | None:
    """K as the papers count it: the batch's other keys, the queue, or the draws from the bank; None
    if the method has no negatives."""
    return recipe.contrast.k(recipe.optim.batch)


def negatives_text(recipe: Recipe) -> str:
    """K as text."""
    return NONE if (k := negatives(recipe)) is None else str(k)


def temperature(recipe: Recipe) -> float:
    """tau; 0 if the method has none."""
    return float(getattr(recipe.contrast, "temperature", 0.0))


def temperature_text(recipe: Recipe) -> str:
    """tau as text; "none" if the method has none."""
    return f"{found:g}" if (found := temperature(recipe)) else NONE


def momentum(recipe: Recipe) -> str:
    """m of the key encoder; "none" if the method has none."""
    found = getattr(recipe.contrast, "momentum", None)
    return NONE if found is None else f"{found:g}"


def schedule(recipe: Recipe) -> str:
    """The learning-rate schedule."""
    found = recipe.optim.schedule
    match found.kind:
        case "constant":
            return "constant"
        case "step":
            return f"×{found.factor:g} at epochs {', '.join(map(str, found.drops))}"
        case "cosine":
            start = f", starting at epoch {found.start}" if found.start else ""
            return ("cosine" if found.first == 0 else "cosine, down to zero") + start
        case "decay":
            return f"×{found.factor:g} every {found.every} steps"


def views(recipe: Recipe) -> str:
    """The further kinds of views: the size of each, and its differences from `augment`."""
    main, found = _augment(recipe.augment), []
    for name, view in recipe.views.items():
        own = _augment(view)
        other = [f"{what} {own[what]}" for what in main if own[what] != main[what]]
        found.append(f"{name} of {view.size} px" + "".join(f", {each}" for each in other))
    return "; ".join(found) or NONE


def augmentation(recipe: Recipe) -> str:
    """v1's or v2's augmentation, or the differences from the closer one."""
    own = _augment(recipe.augment)
    others = {}
    for paper, reference in papers().recipes.items():
        theirs = _augment(reference.augment)
        others[f"{paper}'s"] = [f"{what} {own[what]}" for what in own if own[what] != theirs[what]]
    if not others:
        return "; ".join(f"{what} {value}" for what, value in own.items())
    nearer = min(others, key=lambda name: len(others[name]))
    return nearer + (f", but {'; '.join(others[nearer])}" if others[nearer] else "")


def _augment(augment: Augment) -> dict[str, str]:
    return {words: _said(value) for _, words, value in labelled(augment)}
