"""A recipe's facts: every field is one, or is left out on purpose."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from harness.recipe import labels
from harness.recipe.reference import papers
from harness.recipe.schema import Recipe
from harness.recipe.section import Section
from harness.report.recipe_facts import (
    NOT_FACTS,
    augmentation,
    composed,
    differing,
    facts,
    schedule,
)
from report.build import recipe


def unlabelled(model: type[Section], prefix: str = "") -> set[str]:
    """Dotted fields without a label; of a section that has kinds, those of every kind."""
    found = set()
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        sections = [k for k in kinds if isinstance(k, type) and issubclass(k, Section)]
        for section in sections:
            found |= unlabelled(section, f"{prefix}{name}.")
        if not sections and labels._title(model, name) is None:
            found.add(f"{prefix}{name}")
    return found


def test_every_field_of_a_recipe_has_a_label_or_is_told_otherwise() -> None:
    told = [*NOT_FACTS, *(field for fact in composed() for field in fact.fields)]
    lost = {f for f in unlabelled(Recipe) if not any(f == t or f.startswith(f"{t}.") for t in told)}
    assert lost == set()


def test_a_field_without_a_label_is_told_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a method of another package may have it: it is no reason to pass over a difference."""
    known = labels._title

    def title(section: type[Section], name: str) -> str | None:
        return None if name == "momentum" else known(section, name)

    monkeypatch.setattr(labels, "_title", title)
    found = differing(recipe(contrast__momentum=0.9), recipe(contrast__momentum=0.99))
    assert found == {"contrast.momentum": ("0.9", "0.99")}


def test_a_difference_is_told_by_every_fact_that_it_changes() -> None:
    end_to_end = {"kind": "end_to_end", "temperature": 0.2}
    found = differing(recipe(contrast=end_to_end), recipe(contrast=end_to_end, optim__batch=128))
    assert found == {"negatives, K": ("63", "127"), "batch": ("64", "128")}
    assert differing(recipe(), recipe(seed=3, linear=None)) == {}
    assert differing(recipe(), recipe(knn__k=[20]), ("knn",)) == {}


BANK = {"kind": "memory_bank", "negatives": 64, "temperature": 0.2}


@pytest.mark.parametrize(
    ("changes", "what", "value"),
    [
        ({}, "training images", "embedded, 2000 images"),
        ({"data": {"name": "imagefolder", "folder": "x/imagenet", "size": 224}},
         "training images", "ImageNet-1M, 1.28 million images"),
        ({"model__width": 2}, "backbone", "miniature, width ×2"),
        ({"contrast": BANK}, "negatives, K", "64"),
        ({"contrast": {"kind": "end_to_end", "temperature": 0.2}}, "negatives, K", "63"),
        ({"contrast": BANK}, "mechanism", "memory bank"),
        ({"contrast__shuffle": False}, "shuffling BN", "no"),
        ({"optim__weight_decay": 5e-4}, "weight decay", "0.0005"),
        ({"augment__crop_scale": [0.9, 1.0]}, "random crop, share of the image", "0.9, 1"),
        ({"optim__steps": 40}, "steps at most", "40"),
    ],
)  # fmt: skip
def test_a_fact_in_words(changes: dict[str, Any], what: str, value: str) -> None:
    assert facts(recipe(**changes))[what] == value


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "constant"}, "constant"),
        ({"kind": "step", "drops": [6, 8]}, "×0.1 at epochs 6, 8"),
        ({"kind": "cosine"}, "cosine"),
        ({"kind": "cosine", "first": 1}, "cosine, down to zero"),
        ({"kind": "decay", "every": 50, "factor": 0.9}, "×0.9 every 50 steps"),
    ],
)
def test_a_schedule_in_words(given: dict[str, Any], words: str) -> None:
    assert schedule(recipe(optim__schedule=given)) == words


def test_augmentation_is_v1s_or_v2s_or_what_it_has_beside_the_nearer() -> None:
    v1, v2 = (each.augment.model_dump(mode="json") for each in papers().recipes.values())
    assert augmentation(recipe(augment=v1)) == "v1's"
    assert augmentation(recipe(augment=v2)) == "v2's"
    assert augmentation(recipe(augment=v2 | {"blur_p": 0.1})) == (
        "v2's, but probability of blur 0.1"
    )
