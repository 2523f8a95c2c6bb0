"""A recipe's facts: every field is one, or is left out on purpose."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import BaseModel

from harness.recipe.schema import Recipe
from harness.report.facts import IN_WORDS, UNTOLD, V1, V2, WORDS, augmentation, facts, schedule
from report.build import recipe


def leaves(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Dotted fields; of a section that has kinds, those of every kind."""
    found = set()
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        sections = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
        for section in sections:
            found |= leaves(section, f"{prefix}{name}.")
        if not sections:
            found.add(f"{prefix}{name}")
    return found


def test_every_field_of_a_recipe_is_a_fact_or_left_out_on_purpose() -> None:
    known = (*WORDS, *IN_WORDS, *UNTOLD)
    lost = {f for f in leaves(Recipe) if not any(f == k or f.startswith(f"{k}.") for k in known)}
    assert lost == set()
    assert set(WORDS) <= leaves(Recipe), "words for a field that is no more"


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
    assert augmentation(recipe(augment=V1.model_dump(mode="json"))) == "v1's"
    assert augmentation(recipe(augment=V2.model_dump(mode="json"))) == "v2's"
    mine = V2.model_dump(mode="json") | {"blur_p": 0.1}
    assert augmentation(recipe(augment=mine)) == "v2's, but probability of blur 0.1"
