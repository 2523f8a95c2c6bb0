from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from export.made import recipe
from harness.export.card import ModelCard
from harness.export.formats import Format
from harness.export.measured import Measured
from harness.recipe.schema import Recipe
from harness.recipe.section import plain
from harness.store.layout import StageFolder


def card(of: Recipe, *, name: str = "pictures", **changes: Any) -> ModelCard:
    said: dict[str, Any] = {
        "folder": StageFolder(Path("/nowhere/made-s0.pretrain-0123456789")),
        "recipe": of,
        "plain": plain(of),
        "result": {"step": 7, "data": {"name": name, "train": 100, "fingerprint": "f1a9"}},
        "measured": [],
        "key": False,
        "head": False,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
        "statistics": "the query encoder's own",
        "lent": False,
    }
    return ModelCard(**{**said, **changes})


def front(made: ModelCard, form: Format = Format.timm) -> dict[str, Any]:
    page = made.page(form, "", "model.bin", "0" * 64)
    found: dict[str, Any] = yaml.safe_load(page.split("---\n")[1])
    return found


@pytest.mark.parametrize(
    ("folder", "restricted"),
    [
        ("imagenet", True),
        ("sets/ImageNet-100", True),
        ("ILSVRC2012", True),
        ("imagenette2", True),
        ("my pictures", False),
    ],
)
def test_terms_of_imagenet(folder: str, restricted: bool) -> None:
    made = card(recipe("resnet50", folder=folder))
    assert ("non-commercial" in made.facts["terms"]) is restricted
    assert (front(made)["license"] == "other") is restricted
    assert any("non-commercial" in note for note in made.notes) is restricted


def test_what_the_hub_reads() -> None:
    of = recipe("resnet50")
    assert {front(card(of), form)["library_name"] for form in Format} == {
        "pytorch",
        "timm",
        "detectron2",
        "transformers",
    }
    assert front(card(of))["tags"] == ["self-supervised", "moco", "timm"]


def test_results_of_one_metric_stand_apart() -> None:
    lines = ("one", "two", "three")
    made = card(recipe("resnet50"), measured=[Measured("knn/top1", line) for line in lines])
    assert [made.facts[f"kNN top-1{more}"] for more in ("", ", 2", ", 3")] == list(lines)
    shots = [Measured("few_shot/top1", line) for line in lines]
    facts = card(recipe("resnet50"), measured=shots).facts
    assert [each for each in facts.values() if each in lines] == list(lines)


def test_the_recipe_can_be_run_from_the_card() -> None:
    of = recipe("resnet50")
    page = card(of).page(Format.timm, "", "model.bin", "0" * 64)
    said = yaml.safe_load(page.partition("## Recipe\n\n```yaml\n")[2].partition("```")[0])
    assert said == plain(of)


def test_odd_names_command_nothing() -> None:
    made = card(recipe("resnet50"), name="a|b\x1b[31m<script>\n| x | y |")
    page = made.page(Format.timm, "", "model.bin", "0" * 64)
    (row,) = [line for line in page.splitlines() if line.startswith("| data |")]
    assert r"a\|b" in row
    assert r"\| x \| y \|" in row
    assert "<script>" not in page
    assert "\x1b" not in page
    assert all("\x1b" not in value for value in made.metadata.values())


def test_a_secret_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "s3cret-s3cret-s3cret")
    made = card(recipe("resnet50"), name="s3cret-s3cret-s3cret")
    assert "s3cret" not in made.page(Format.timm, "", "model.bin", "0" * 64)
    assert "s3cret" not in "".join(made.metadata.values())
