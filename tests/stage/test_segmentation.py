"""Segmentation as a stage: what it learns, from which weights, on which masks."""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from data.mask_layouts import voc2012
from gloo import Pool

from harness.certify.trajectory import largest_difference
from harness.data.masks import IGNORED
from harness.data_check import lacking_later
from harness.errors import DataError, RecipeError
from harness.evaluate.mask_pictures import mask_png, sample
from harness.recipe.load import load_recipe
from harness.stage import segmentation as module
from harness.stage.segmentation import SHOWN, Segmenting
from harness.store import journal, pictures
from harness.store.layout import StageFolder

from .finetuned import MASKS, segmented_in_float64, segmenting
from .test_trainable import ALONE, one_of
from .tiny import final_state, run, same, write

SEGMENTATION = """\
linear: null
tasks:
  seg: {kind: segmentation, masks: {name: scenes, images: 16, tested: 16, size: 32}, steps: 6,
    batch: 4, lr: 0.1, crop: 29, schedule: {kind: constant}}
"""
KINDS = ("pretrain", "segmentation")


def recipe_of(folder: Path, *changes: tuple[str, str]) -> Path:
    path = write(folder)
    text = SEGMENTATION
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    kept = [line for line in path.read_text().splitlines() if not line.startswith("linear:")]
    path.write_text("\n".join([*kept, text]))
    return path


def ended(folder: StageFolder) -> dict[str, Any]:
    assert folder.result is not None
    return folder.result


def test_it_learns_the_masks_it_is_shown(tmp_path: Path) -> None:
    """More than the background alone, which is most of a scene."""
    recipe = recipe_of(tmp_path, ("steps: 6", "steps: 120"), ("crop: 29", "crop: 29, flip_p: 0.0"))
    real = module.open_segmentation

    def seen(*given: Any, **more: Any) -> Any:
        made = real(*given, **more)
        object.__setattr__(made, "test", made.train)
        return made

    with mock.patch.object(module, "open_segmentation", seen):
        result = ended(run(recipe, tmp_path / "runs", kinds=KINDS)["segmentation"])
    masks = real("scenes", tmp_path, images=16, tested=16, size=32).train.masks  # type: ignore[attr-defined]
    present = len(masks[masks != IGNORED].unique())
    background = 100 * (masks == 0).float().mean().item() / present
    assert result["values"]["segmentation/miou"] > 2 * background
    assert result["masks"]["train"] == 16


def test_it_starts_from_the_parents_weights_and_trains_all_layers(tmp_path: Path) -> None:
    still = run(
        recipe_of(tmp_path, ("lr: 0.1", "lr: 1e-30"), ("steps: 6", "steps: 1")),
        tmp_path / "still",
        kinds=KINDS,
    )
    moved = run(recipe_of(tmp_path), tmp_path / "moved", kinds=KINDS)
    parent = final_state(still["pretrain"])["mechanism"]
    one, other = (final_state(each["segmentation"])["model"] for each in (still, moved))
    names = [name for name in one if name.startswith("backbone.") and one[name].dim() == 4]
    assert len(names) > 6
    for name in names:
        assert torch.equal(one[name], parent[f"query.{name}"])
        assert not torch.equal(other[name], one[name])


def test_several_processes_train_what_one_trains(gloo: Pool) -> None:
    expected = segmented_in_float64(ALONE)
    assert expected["losses"][0] != expected["losses"][-1]
    for found in gloo.run(segmented_in_float64, 2, timeout=120):
        assert largest_difference(expected, found) < 1e-9


def test_stopping_and_going_on_changes_nothing(tmp_path: Path) -> None:
    recipe, parts = recipe_of(tmp_path), tmp_path / "parts"
    whole = run(recipe, tmp_path / "whole", kinds=KINDS)["segmentation"]
    run(recipe, parts, kinds=("pretrain",))
    for _ in range(2):
        looks = itertools.count(1)
        stopped = partial(one_of, looks, range(2, 6))
        assert run(recipe, parts, kinds=KINDS, stopping=stopped)["segmentation"].result is None
    again = run(recipe, parts, kinds=KINDS)["segmentation"]
    assert len(again.attempts()) == 3
    assert ended(again)["values"] == ended(whole)["values"]
    assert same(final_state(whole), final_state(again))


def test_pictures_of_the_first_trial_are_kept_and_a_death_before_the_result_loses_none(
    tmp_path: Path,
) -> None:
    recipe = recipe_of(tmp_path, ("steps: 6", "steps: 6, trials: 2"))
    run(recipe, tmp_path / "whole", kinds=KINDS)
    first, second = sorted((tmp_path / "whole").glob("*.seg*"), key=lambda path: "=t1" in path.name)
    kept = pictures.read(first, ended(StageFolder(first)))
    assert kept is not None
    assert list(kept.samples) == sample(16, SHOWN)
    assert len(kept.legend) == 12
    assert pictures.KEY not in ended(StageFolder(second))
    assert not (second / pictures.FOLDER).exists()
    model = final_state(StageFolder(first))["model"]
    work = segmenting(ALONE, {**MASKS, "masks": {**MASKS["masks"], "size": 32}}).work
    assert isinstance(work, Segmenting)
    work.model.float().load_state_dict(model)
    work.model.eval()
    data = module.open_segmentation("scenes", tmp_path, images=16, tested=16, size=32)
    for number, panels in kept.samples.items():
        image, true = data.test.pair(number)
        with torch.no_grad():
            (predicted,) = module.predicted_masks(work.model, image[None], data)
        assert panels["true"].png == mask_png(true)
        assert panels["predicted"].png == mask_png(predicted)

    before = (first / "result.json").read_bytes()
    (first / "result.json").unlink()
    for path in (first / pictures.FOLDER).iterdir():
        path.unlink()
    run(recipe, tmp_path / "whole", kinds=KINDS)
    again = pictures.read(first, ended(StageFolder(first)))
    assert again == kept
    assert json.loads(before)["values"] == ended(StageFolder(first))["values"]


def test_each_class_that_occurs_has_a_score(tmp_path: Path) -> None:
    folder = run(recipe_of(tmp_path), tmp_path / "runs", kinds=KINDS)["segmentation"]
    values = ended(folder)["values"]
    ious = [value for name, value in values.items() if name.startswith("segmentation/iou@")]
    assert len(ious) > 2
    assert sum(ious) / len(ious) == pytest.approx(values["segmentation/miou"])
    last = journal.last(folder)
    assert last is not None
    assert {name: last[name] for name in values if "@" in name} == {
        name: value for name, value in values.items() if "@" in name
    }


def test_going_on_with_other_masks_is_refused(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    run(recipe, tmp_path, kinds=("pretrain",))
    run(recipe, tmp_path, kinds=KINDS, stopping=partial(one_of, itertools.count(1), {3}))
    real = module.open_segmentation

    def other(*given: Any, **more: Any) -> Any:
        return real(*given, **more | {"images": 12})

    with (
        mock.patch.object(module, "open_segmentation", other),
        pytest.raises(DataError, match="fingerprint"),
    ):
        run(recipe, tmp_path, kinds=KINDS)


def test_the_masks_are_among_the_results_inputs(tmp_path: Path) -> None:
    voc2012(tmp_path, train=4, val=2)
    recipe = recipe_of(
        tmp_path, ("{name: scenes, images: 16, tested: 16, size: 32}", "{name: voc2012}")
    )
    folders = run(recipe, tmp_path / "runs", ("optim.epochs=0",), kinds=KINDS, data=tmp_path)
    said = ended(folders["segmentation"])["inputs"]["masks"]
    assert said["name"] == "voc2012"
    assert said["fingerprint"] == ended(folders["segmentation"])["masks"]["fingerprint"]
    assert "inputs" not in ended(folders["pretrain"])


def test_the_loss_is_the_mean_over_the_pixels_that_count() -> None:
    work = segmenting(ALONE, MASKS).work
    batch = next(iter(work.batches(0, 1)))
    assert bool((batch[1] == IGNORED).any())
    classes = work.outputs(batch).log_softmax(1).movedim(1, -1)[batch[1] != IGNORED]
    right = classes.gather(1, batch[1][batch[1] != IGNORED][:, None])
    assert work.loss(batch).item() == pytest.approx(-right.mean().item(), rel=1e-9)


def test_an_epoch_is_a_permutation_and_no_batch_straddles_two() -> None:
    work = segmenting(ALONE, MASKS).work
    assert isinstance(work, Segmenting)
    assert work.per_epoch == 2
    first, second = (torch.cat([work.indices(2 * e), work.indices(2 * e + 1)]) for e in (0, 1))
    assert len(first.unique()) == len(second.unique()) == 8
    assert not torch.equal(first, second)
    other = segmenting(ALONE, MASKS, trial=1).work
    assert isinstance(other, Segmenting)
    assert not torch.equal(work.indices(0), other.indices(0))


def test_masks_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {**MASKS, "masks": {"name": "voc2012"}}
    with pytest.raises(DataError, match=r"tasks\.ft\.masks: .*VOC2012"):
        segmenting(ALONE, files)
    fewer = module.open_segmentation("scenes", Path(), images=10, tested=1, size=24)
    monkeypatch.setattr(module, "open_segmentation", lambda *_, **__: fewer)
    with pytest.raises(DataError, match=r"tasks\.ft\.batch: 12 .* only 10 images"):
        segmenting(ALONE, {**files, "batch": 12})


def test_missing_masks_are_told_before_pre_training(tmp_path: Path) -> None:
    named = "{name: scenes, images: 16, tested: 16, size: 32}", "{name: voc2012}"
    made = load_recipe(recipe_of(tmp_path, named))
    (said,) = lacking_later([made], tmp_path)
    assert said.startswith("tasks.seg.masks: voc2012 missing")
    assert str(tmp_path / "VOCdevkit/VOC2012") in said
    folder = voc2012(tmp_path, train=4)
    assert lacking_later([made], tmp_path) == []
    mask = next((folder / "SegmentationClass").iterdir())
    mask.unlink()
    (said,) = lacking_later([made], tmp_path)
    assert str(mask) in said
    (folder / "ImageSets" / "Segmentation" / "val.txt").unlink()
    (said,) = lacking_later([made], tmp_path)
    assert "val.txt" in said


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("crop: 29", "crop: 29, data: {name: embedded, size: 32}", "data"),
        ("crop: 29", "crop: 29, scale: [2.0, 0.5]", "scale"),
        ("crop: 29, ", "", "crop"),
        ("crop: 29", "crop: 65", "crop"),
        (
            "{name: scenes, images: 16, tested: 16, size: 32}",
            "{name: cityscapes, size: 32}",
            "masks.size",
        ),
        (
            "{name: scenes, images: 16, tested: 16, size: 32}",
            "{name: voc2007, tested: 3}",
            "masks.tested",
        ),
        ("masks: {name: scenes, images: 16, tested: 16, size: 32}, ", "", "masks"),
    ],
)
def test_impossible_fields_are_refused(tmp_path: Path, old: str, new: str, field: str) -> None:
    with pytest.raises(RecipeError, match=rf"tasks\.seg\.{field}: "):
        load_recipe(recipe_of(tmp_path, (old, new)))
