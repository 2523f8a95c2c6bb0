from __future__ import annotations

from pathlib import Path

import pytest
from certify.test_checks import Stage, obedient

from harness.certify import papers
from harness.recipe.load import load_recipe
from harness.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "data").mkdir()
    return Site(tmp_path / "data", tmp_path / "runs", "auto", 1, 1.0)


def test_why_they_are_skipped(site: Site) -> None:
    without, testbed = Stage(obedient()), Stage(obedient(), cuda=True)
    assert papers.demo(without, site).says == "it takes a GPU"
    assert "cifar10 is not in" in papers.demo(testbed, site).says
    (check,) = papers.released(testbed, site)
    assert "none of the released weights" in check.says
    (site.data / "weights").mkdir()
    (site.data / papers.RELEASED[0].file).write_bytes(b"weights")
    assert "no train and no val" in papers.released(testbed, site)[0].says
    for part in ("train", "val"):
        (site.data / "imagenet" / part).mkdir(parents=True)
    assert papers.released(without, site)[0].says == "the probe on ImageNet takes a GPU"
    (check,) = papers.released(testbed, site)
    assert (check.outcome, "not b251726a" in check.says) == ("failed", True)
    assert (testbed.works, without.works) == ([], [])


def test_the_recipes_are_there_and_fit() -> None:
    demo = load_recipe(papers.RECIPES / "cifar10_demo.yaml", [f"optim.steps={papers.STEPS}"])
    assert 10 * (50_000 // demo.optim.batch) == papers.STEPS
    assert any(target.epoch == papers.EPOCHS for target in demo.about.targets)
    for each in papers.RELEASED:
        weights = f"model.weights={{file: {each.file}, sha256: {'0' * 64}}}"
        made = load_recipe(papers.RECIPES / each.recipe, ["optim.epochs=0", weights])
        assert made.linear is not None
        assert made.data.folder == "imagenet"
        assert (made.model.head == "mlp") == ("v2" in each.file)
