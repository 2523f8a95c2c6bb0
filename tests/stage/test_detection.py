"""Detection as a stage: what it learns, from which weights, on which boxes."""

from __future__ import annotations

import itertools
import shutil
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from data.box_layouts import voc
from gloo import Pool

from harness.certify.trajectory import largest_difference
from harness.data.detection import open_detection
from harness.data_check import lacking_later
from harness.errors import DataError, HarnessError
from harness.evaluate import box_pictures
from harness.evaluate.box_pictures import detections_png, objects_png
from harness.evaluate.detection import found_in
from harness.evaluate.mask_pictures import sample
from harness.model.detection.build import build_detector
from harness.recipe.load import load_recipe
from harness.runtime.world import World
from harness.stage import detection as module
from harness.stage.detection import SHOWN, Detecting
from harness.store import journal, pictures, precision_recall
from harness.store.layout import StageFolder

from .finetuned import BOXES, detected_in_float64, detecting
from .test_trainable import ALONE, one_of
from .tiny import final_state, recipe_of, run, same, write

BOXED = """\
linear: null
tasks:
  det: {kind: detection, detector: small, boxes: {name: scenes, images: 8, tested: 9, size: 32},
    steps: 6, batch: 4, lr: 0.02, schedule: {kind: constant}}
"""
KINDS = ("pretrain", "detection")


def boxed(folder: Path, *changes: tuple[str, str]) -> Path:
    """The tiny recipe with a detection in the linear probe's place."""
    path = write(folder)
    text = BOXED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    kept = [line for line in path.read_text().splitlines() if not line.startswith("linear:")]
    path.write_text("\n".join([*kept, text]))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny.yaml and its runs: two trials, whose pictures show also what scores little."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = boxed(folder, ("steps: 6", "steps: 40, trials: 2"))
    with mock.patch.object(box_pictures, "LEAST_SCORE", 0.05):
        run(recipe, folder / "runs", kinds=KINDS)
    return folder


def trials(folder: Path) -> list[Path]:
    return sorted((folder / "runs").glob("*.det*"), key=lambda path: "=t1" in path.name)


def ended(folder: StageFolder) -> dict[str, Any]:
    assert folder.result is not None
    return folder.result


def test_it_learns_the_boxes_it_is_shown(tmp_path: Path) -> None:
    """An untrained head finds nothing."""
    recipe = boxed(tmp_path, ("steps: 6", "steps: 70, flip_p: 0.0"))
    real = module.open_detection

    def seen(*given: Any, **more: Any) -> Any:
        made = real(*given, **more)
        object.__setattr__(made, "test", made.train)
        return made

    with mock.patch.object(module, "open_detection", seen):
        result = ended(run(recipe, tmp_path / "runs", kinds=KINDS)["detection"])
    values = result["values"]
    assert values["detection/ap50"] > 30
    assert values["detection/ap50"] >= values["detection/ap"] > 10
    assert result["boxes"]["train"] == 8
    of_classes = [v for name, v in values.items() if name.startswith("detection/class_ap@")]
    assert sum(of_classes) / len(of_classes) == pytest.approx(values["detection/ap"])


def test_it_starts_from_the_parents_weights_and_trains_all_layers(tmp_path: Path) -> None:
    still = run(
        boxed(tmp_path, ("lr: 0.02", "lr: 1e-30"), ("steps: 6", "steps: 1")),
        tmp_path / "still",
        kinds=KINDS,
    )
    moved = run(boxed(tmp_path), tmp_path / "moved", kinds=KINDS)
    parent = final_state(still["pretrain"])["mechanism"]
    one, other = (final_state(each["detection"])["model"] for each in (still, moved))
    names = [name for name in one if name.startswith("backbone.") and one[name].dim() == 4]
    assert len(names) > 6
    for name in names:
        assert torch.equal(one[name], parent[f"query.{name}"])
    for name, tensor in one.items():
        if tensor.is_floating_point():
            assert not torch.equal(other[name], tensor), name


def test_several_processes_train_what_one_trains(gloo: Pool) -> None:
    expected = detected_in_float64(ALONE)
    assert expected["losses"][0] != expected["losses"][-1]
    for size in (2, 4):
        for found in gloo.run(detected_in_float64, size, timeout=120):
            assert largest_difference(expected, found) < 1e-9


def test_stopping_and_going_on_changes_nothing(tmp_path: Path) -> None:
    recipe, parts = boxed(tmp_path), tmp_path / "parts"
    whole = run(recipe, tmp_path / "whole", kinds=KINDS)["detection"]
    run(recipe, parts, kinds=("pretrain",))
    for _ in range(2):
        stopped = partial(one_of, itertools.count(1), range(2, 6))
        assert run(recipe, parts, kinds=KINDS, stopping=stopped)["detection"].result is None
    again = run(recipe, parts, kinds=KINDS)["detection"]
    assert len(again.attempts()) == 3
    assert ended(again)["values"] == ended(whole)["values"]
    assert same(final_state(whole), final_state(again))


def test_pictures_of_the_first_trial_show_what_is_true_and_what_is_found(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box_pictures, "LEAST_SCORE", 0.05)
    first, second = trials(trained)
    kept = pictures.read(first, ended(StageFolder(first)))
    assert kept is not None
    assert list(kept.samples) == sample(9, SHOWN)
    assert pictures.KEY not in ended(StageFolder(second))
    data = open_detection("scenes", trained, images=8, tested=9, size=32)
    stage = StageFolder(first)
    model = build_detector("small", recipe_of(stage).model, len(data.classes), 2)
    model.load_state_dict(final_state(stage)["model"])
    assert [name for name, _ in kept.legend] == list(data.classes)
    for number, panels in kept.samples.items():
        (found,) = found_in(
            model.eval(), data, torch.tensor([number]), 32, 1333, torch.device("cpu")
        )
        image = module.pil_to_tensor(data.test.picture(number))
        assert panels["true"].png == objects_png(image, data.test.images[number].instances)
        assert panels["predicted"].png == detections_png(image, found)
        assert panels["true"].png != panels["image"].png
    assert any(panels["predicted"].png != panels["image"].png for panels in kept.samples.values())


def test_curves_of_every_trial_have_the_average_precision_as_their_mean(trained: Path) -> None:
    stages = trials(trained)
    assert len(stages) == 2
    for path in stages:
        result = ended(StageFolder(path))
        kept = precision_recall.read(path, result)
        assert kept is not None
        assert kept.marked == 11
        for at, name in (("0.50", "ap50"), ("0.75", "ap75")):
            marked = kept.curves["boxes"][at][::10]
            ap = result["values"][f"detection/{name}"]
            assert 100 * sum(marked) / 11 == pytest.approx(ap, abs=1e-3)
        assert result["values"]["detection/ap50"] > 0
    one, other = (path / precision_recall.FILE for path in stages)
    assert one.read_bytes() != other.read_bytes()


def test_an_attempt_that_finds_its_last_evaluation_done_keeps_the_same_curves(
    trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    folder = StageFolder(trials(tmp_path)[0])
    wanted = (folder.path / precision_recall.FILE).read_bytes()
    values = ended(folder)["values"]
    for name in ("result.json", precision_recall.FILE):
        (folder.path / name).unlink()
    run(tmp_path / "tiny.yaml", tmp_path / "runs", kinds=KINDS)
    assert (folder.path / precision_recall.FILE).read_bytes() == wanted
    assert ended(folder)["values"] == values
    assert precision_recall.read(folder.path, ended(folder)) is not None


def test_going_on_with_other_boxes_is_refused(tmp_path: Path) -> None:
    recipe = boxed(tmp_path)
    run(recipe, tmp_path, kinds=("pretrain",))
    run(recipe, tmp_path, kinds=KINDS, stopping=partial(one_of, itertools.count(1), {3}))
    real = module.open_detection

    def other(*given: Any, **more: Any) -> Any:
        return real(*given, **more | {"images": 7})

    with (
        mock.patch.object(module, "open_detection", other),
        pytest.raises(DataError, match="fingerprint"),
    ):
        run(recipe, tmp_path, kinds=KINDS)


@pytest.mark.parametrize("part", ["weights", "outputs"])
def test_what_is_not_finite_is_a_divergence(tmp_path: Path, part: str) -> None:
    recipe = boxed(tmp_path, ("lr: 0.02", "lr: 1e30" if part == "weights" else "lr: 0.02"))
    detect = mock.patch.object(
        module.Detector, "detect", side_effect=FloatingPointError("the scores are not finite")
    )
    if part == "weights":
        folder = run(recipe, tmp_path, kinds=KINDS)["detection"]
    else:
        with detect:
            folder = run(recipe, tmp_path, kinds=KINDS)["detection"]
    assert ended(folder)["state"] == "diverged"
    assert not any("detection/ap" in record for record in journal.read(folder))


def test_draws_depend_on_the_trial_and_the_step() -> None:
    one, other = (detecting(ALONE, BOXES, trial=trial).work for trial in (0, 1))
    assert isinstance(one, Detecting)
    assert isinstance(other, Detecting)
    first, again = one.share(0), one.share(0)
    assert first.keys == again.keys
    assert all(torch.equal(a, b) for a, b in zip(first.images, again.images, strict=True))
    assert first.keys != other.share(0).keys
    assert not set(first.keys) & set(one.share(1).keys)
    assert {min(image.shape[1:]) for image in first.images} <= {28, 32, 40}


def test_boxes_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"tasks\.ft\.boxes: .*VOC2007"):
        detecting(ALONE, {**BOXES, "boxes": {"name": "voc2007"}})
    fewer = open_detection("scenes", Path(), images=12, tested=1, size=32)
    monkeypatch.setattr(module, "open_detection", lambda *_, **__: fewer)
    with pytest.raises(DataError, match=r"tasks\.ft\.batch: 14 .* only 12 images"):
        detecting(ALONE, {**BOXES, "boxes": {"name": "voc2007"}, "batch": 14})


def test_processes_that_would_share_a_pad_group_are_refused() -> None:
    eight = World(rank=0, size=8, device=torch.device("cpu"))
    with pytest.raises(HarnessError, match=r"tasks\.ft\.batch: 8 processes .* use 1, 2, 4 "):
        detecting(eight, BOXES)


def test_missing_boxes_are_told_before_pre_training(tmp_path: Path) -> None:
    named = "{name: scenes, images: 8, tested: 9, size: 32}", "{name: voc0712}, shortest: [64]"
    made = load_recipe(boxed(tmp_path, named))
    (said,) = lacking_later([made], tmp_path)
    assert "tasks.det.boxes" in said
    for year in (2007, 2012):
        assert str(tmp_path / f"VOCdevkit/VOC{year}") in said
        voc(tmp_path, year)
    assert lacking_later([made], tmp_path) == []
