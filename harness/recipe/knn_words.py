"""How a kNN accuracy was measured, in a few words that stand beside the number.

Made of plain values, as stage.json has them, so that `status` needs no typed recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DIGITS = 16
"""Digits of the weights' digest that tables and lines show; CSV and JSON have all."""

Trained = Sequence[Mapping[str, Any] | None]
"""The data that weights were pre-trained on, as a recipe's `data`; None: some that is not known."""


def trained_on(recipe: Mapping[str, Any], recorded: object) -> list[dict[str, Any] | None]:
    """The data that a run's weights were pre-trained on, in this run or before it.

    Args:
        recipe: of the run, as in stage.json.
        recorded: "trained_on" of its result, for weights that came from another run.
    """
    data = {key: recipe["data"].get(key) for key in ("name", "folder", "images")}
    own: list[dict[str, Any] | None] = [data] if recipe["optim"]["epochs"] else []
    weights = recipe["model"].get("weights")
    before: list[dict[str, Any] | None] = []
    if weights is not None or recipe.get("continue_from") is not None:
        before = recorded if isinstance(recorded, list) else [None]
    return own + [each for each in before if each not in own]


def knn_words(knn: Mapping[str, Any], bank: Mapping[str, Any], trained: Trained) -> str:
    """E.g. "k 200, T 0.1, backbone, bank cifar10 (not pre-trained on: that was on stl10)".

    Args:
        knn: the protocol, as a recipe's `knn`.
        bank: the data whose labelled training images are the bank, as a recipe's `data`.
    """
    first = f"k {knn['k'][0]}, T {knn['temperature']:g}, {knn['layer']}"
    return f"{first}, bank {data_words(bank)} ({_whether(bank, trained)})"


def data_words(data: Mapping[str, Any]) -> str:
    """The data whose labelled training images are learned from, e.g. "cifar10 of 500 images"."""
    some = f" of {data['images']} images" if data.get("images") is not None else ""
    return f"{_named(data)}{some}"


def _whether(bank: Mapping[str, Any], trained: Trained) -> str:
    """Whether the bank's images were pre-trained on."""
    if not trained:
        return "nothing was pre-trained"
    known = [each for each in trained if each is not None]
    same = [each for each in known if _named(each) == _named(bank)]
    if any(_within(bank, each) for each in same):
        return "pre-trained on"
    if same:
        return "in part pre-trained on"
    if len(known) < len(trained):
        return "not known whether pre-trained on"
    return f"not pre-trained on: that was on {', '.join(dict.fromkeys(map(_named, known)))}"


def _within(bank: Mapping[str, Any], trained: Mapping[str, Any]) -> bool:
    """Whether all images of the bank are among the others of the same data set, whose subsets
    begin alike."""
    there, most = bank.get("images"), trained.get("images")
    return most is None or (there is not None and there <= most)


def _named(data: Mapping[str, Any]) -> str:
    return str(data.get("folder") or data["name"])
