"""What a recipe does, fact by fact in a reader's words, so that two recipes can be compared."""

from __future__ import annotations

from typing import Any

from harness.recipe.schema import Augment, Recipe
from harness.recipe.section import last_part

WORDS: dict[str, str] = {
    "data.size": "image size in pixels",
    "augment.crop_scale": "random crop, share of the image",
    "augment.crop_ratio": "random crop, aspect ratio",
    "augment.jitter": "colour jitter (brightness, contrast, saturation, hue)",
    "augment.jitter_p": "probability of colour jitter",
    "augment.grayscale_p": "probability of grayscale",
    "augment.grayscale_first": "grayscale before the jitter",
    "augment.blur_p": "probability of blur",
    "augment.blur_sigma": "standard deviation of the blur",
    "augment.flip_p": "probability of a flip",
    "model.head": "head",
    "model.dim": "width of the embedding",
    "model.bn_group": "batch-norm group",
    "model.running_stats": "running statistics of",
    "contrast.kind": "mechanism",
    "contrast.momentum": "momentum m",
    "contrast.temperature": "temperature τ",
    "contrast.shuffle": "shuffling BN",
    "contrast.symmetric": "symmetric loss",
    "contrast.shared": "one encoder for both views",
    "contrast.bank_momentum": "momentum of the bank",
    "contrast.exclude_self": "own entry left out of the negatives",
    "contrast.loss": "loss of the bank",
    "optim.epochs": "epochs",
    "optim.steps": "steps at most",
    "optim.batch": "batch",
    "optim.lr": "learning rate",
    "optim.sgd_momentum": "momentum of SGD",
    "optim.weight_decay": "weight decay",
    "precision": "precision",
    "knn.k": "k of kNN",
    "knn.temperature": "temperature of kNN",
    "knn.layer": "features of kNN",
    "knn.queries": "test images of kNN",
}
"""Dotted field of a recipe -> what a reader calls it."""

IN_WORDS = ("data", "continue_from", "model.backbone", "model.width", "model.weights",
            "contrast.queue", "contrast.negatives", "optim.schedule")  # fmt: skip
"""Fields and sections that `facts` puts into words of their own, together with others."""

UNTOLD = ("name", "seed", "linear", "tasks", "watch", "about")
"""What is no fact of a run, the linear probe, which is held against the papers' by itself, and
further tasks, which have a table of their own."""

NONE = "none"

IMAGENET_FOLDERS = ("imagenet", "imagenet1k", "imagenet-1k", "ilsvrc2012")
IMAGENET = "ImageNet-1M, 1.28 million images"

V1 = Augment()
V2 = Augment(jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grayscale_first=False, blur_p=0.5)


def facts(recipe: Recipe) -> dict[str, str]:
    """Everything that decides a result but the seed and the probe: what it is -> its value."""
    found = {"training images": images(recipe)}
    found |= _fields(recipe.model_dump(mode="json"), "data.")
    found["backbone"] = backbone(recipe)
    weights = recipe.model.weights
    found["given weights"] = NONE if weights is None else weights.named
    if weights is not None and weights.head == "new":
        found["given weights"] += ", with a new head"
    source = recipe.continue_from
    found["continues"] = NONE if source is None else last_part(source)
    found["negatives, K"] = NONE if (k := negatives(recipe)) is None else str(k)
    found["schedule"] = schedule(recipe)
    return found | _fields(recipe.model_dump(mode="json"))


def _fields(plain: dict[str, Any], prefix: str = "") -> dict[str, str]:
    found = {}
    for field, words in WORDS.items():
        section, _, key = field.rpartition(".")
        values = plain.get(section, {}) if section else plain
        if field.startswith(prefix) and key in values:
            found[words] = _said(values[key])
    return found


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    if isinstance(value, float):
        return f"{value:g}"
    return NONE if value is None else str(value).replace("_", " ")


def images(recipe: Recipe) -> str:
    """The training data, e.g. "embedded, 2000 images"."""
    if is_imagenet(recipe):
        return IMAGENET
    data = recipe.data
    where = f"{data.name} {data.folder}" if data.folder else data.name
    return f"{where}, {data.images} images" if data.images is not None else f"{where}, all images"


def is_imagenet(recipe: Recipe) -> bool:
    """Whether it trains on all of a folder that is called as ImageNet's is."""
    folder = (recipe.data.folder or "").rstrip("/").rpartition("/")[2].lower()
    return folder in IMAGENET_FOLDERS and recipe.data.images is None


def backbone(recipe: Recipe) -> str:
    """The network without its head."""
    model = recipe.model
    name = "ResNet-50" if model.backbone == "resnet50" else model.backbone
    return name + (f", width ×{model.width}" if model.width != 1 else "")


def negatives(recipe: Recipe) -> int | None:
    """K as the papers count it: the batch's other keys, the queue, or the draws from the bank;
    None where the method has no negatives."""
    return recipe.contrast.k(recipe.optim.batch)


def temperature(recipe: Recipe) -> float:
    """tau; 0 where the method has none."""
    return float(getattr(recipe.contrast, "temperature", 0.0))


def momentum(recipe: Recipe) -> str:
    """m of the key encoder; "none" where the mechanism has none."""
    found = getattr(recipe.contrast, "momentum", None)
    return NONE if found is None else f"{found:g}"


def schedule(recipe: Recipe) -> str:
    """The learning rate's way over the run."""
    found = recipe.optim.schedule
    match found.kind:
        case "constant":
            return "constant"
        case "step":
            return f"×{found.factor:g} at epochs {', '.join(map(str, found.drops))}"
        case "cosine":
            start = f", from epoch {found.start}" if found.start else ""
            return ("cosine" if found.first == 0 else "cosine, down to zero") + start
        case "decay":
            return f"×{found.factor:g} every {found.every} steps"


def augmentation(recipe: Recipe) -> str:
    """v1's or v2's, or what it has beside the nearer one."""
    own = _of(recipe.augment)
    others = {}
    for name, papers in (("v1's", V1), ("v2's", V2)):
        theirs = _of(papers)
        others[name] = [f"{what} {own[what]}" for what in own if own[what] != theirs[what]]
    nearer = min(others, key=lambda name: len(others[name]))
    return nearer + (f", but {'; '.join(others[nearer])}" if others[nearer] else "")


def _of(augment: Augment) -> dict[str, str]:
    return _fields({"augment": augment.model_dump(mode="json")}, "augment.")
