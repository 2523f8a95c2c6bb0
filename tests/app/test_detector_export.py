"""Exports of whole detectors of real runs: which task is meant, and what is refused."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import yaml
from stage.tiny import TEXT, final_state, run

import harness
from harness.app import export
from harness.errors import HarnessError, RecipeError, StoreError
from harness.model.detection import detector as module
from harness.model.detection.box_head import TwoLayers
from harness.site import Site
from harness.store.layout import StageFolder

TASKS = """\
tasks:
  det: {kind: detection, detector: fpn, boxes: {name: scenes, images: 2, tested: 1, size: 32},
    steps: 1, batch: 2, lr: 0.01, schedule: {kind: constant}}
  tiny: {kind: detection, detector: small, boxes: {name: scenes, images: 2, tested: 1, size: 32},
    steps: 1, batch: 2, lr: 0.01, schedule: {kind: constant}, trials: 2}
  nn: {kind: knn, k: [5]}
"""
SETS = (
    "model.backbone=resnet18",
    "optim.epochs=0",
    "data.images=32",
    "knn=null",
    "linear=null",
    "watch.health_epochs=0",
)


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """Fully connected layers of 16 channels, which take less time."""
    with mock.patch.object(module, "TwoLayers", partial(TwoLayers, width=16)):
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe boxed.yaml and its finished run."""
    place = tmp_path_factory.mktemp("trained")
    (place / "boxed.yaml").write_text(TEXT.replace("name: tiny", "name: boxed") + TASKS)
    run(place / "boxed.yaml", place / "runs", SETS, kinds=("pretrain", "detection", "knn"))
    return place


@pytest.fixture
def site(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(trained)
    return harness.load_site(runs=trained / "runs")


def stage(place: Path, name: str) -> StageFolder:
    (found,) = (place / "runs").glob(f"boxed-s0.{name}-*")
    return StageFolder(found)


INVERSE = (
    (r"backbone\.bottom_up\.stem\.conv1\.norm\.", "backbone.bn1."),
    (r"backbone\.bottom_up\.stem\.", "backbone."),
    (r"backbone\.bottom_up\.res(\d)\.", lambda m: f"backbone.layer{int(m[1]) - 1}."),
    (r"\.conv(\d)\.norm\.", r".bn\1."),
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"\.shortcut\.", ".downsample.0."),
    (r"backbone\.fpn_(\w+)(\d)\.norm\.", lambda m: f"neck.{m[1]}.{int(m[2]) - 2}.1."),
    (r"backbone\.fpn_(\w+)(\d)\.", lambda m: f"neck.{m[1]}.{int(m[2]) - 2}.0."),
    (r"proposal_generator\.rpn_head\.", "rpn."),
    (r"objectness_logits", "objectness"),
    (r"anchor_deltas", "deltas"),
    (r"roi_heads\.box_head\.fc(\d)\.", lambda m: f"head.layers.{2 * int(m[1]) - 1}."),
    (r"roi_heads\.box_predictor\.cls_score\.", "box.score."),
    (r"roi_heads\.box_predictor\.bbox_pred\.", "box.box."),
)
"""From detectron2's names to ours, written from the other side."""


def test_the_file_holds_what_the_task_trained(trained: Path, site: Site) -> None:
    made = export("boxed", "detectron2", site, task="det")
    folder = stage(trained, "det")
    assert made.stage == folder.id
    assert made.written
    arrays = pickle.loads(made.weights.read_bytes())["model"]
    state = final_state(folder)["model"]
    left = {name for name in state if not name.endswith("num_batches_tracked")}
    for theirs, array in arrays.items():
        ours = theirs
        for pattern, name in INVERSE:
            ours = re.sub(pattern, name, ours)
        assert np.array_equal(array, state[ours].numpy()), theirs
        left.remove(ours)
    assert not left
    settings = yaml.safe_load((made.folder / "config.yaml").read_text())
    assert settings["MODEL"]["ROI_HEADS"]["NUM_CLASSES"] == len(state["box.score.bias"]) - 1
    assert settings["MODEL"]["PIXEL_MEAN"] == [127.5] * 3  # scenes are normalised otherwise
    assert settings["INPUT"]["MIN_SIZE_TEST"] == 32
    page = (made.folder / "README.md").read_text()
    assert made.sha256 in page
    assert folder.id in page
    assert folder.result is not None
    assert f"{folder.result['values']['detection/ap']:.2f} %" in page
    assert any("MODEL" in note for note in made.notes)  # the settings are printed too
    for word in (folder.id, str(folder.path), stage(trained, "pretrain").id):
        assert not export(word, "detectron2", site, task="det").written


def test_without_a_task_it_is_the_backbone(trained: Path, site: Site) -> None:
    made = export(stage(trained, "det").id, "detectron2", site)
    assert made.stage == stage(trained, "pretrain").id


@pytest.mark.parametrize(
    ("task", "error", "said"),
    [
        ("nothing", StoreError, "det"),
        ("", StoreError, "det"),
        ("pretrain", StoreError, "det"),
        ("nn", RecipeError, "knn"),
        ("tiny", RecipeError, "small"),
        ("tiny=t1", RecipeError, "small"),
        ("tiny=t2", StoreError, "tiny=t1"),
    ],
)
def test_what_is_no_detector_of_the_run(
    site: Site, task: str, error: type[HarnessError], said: str
) -> None:
    with pytest.raises(error, match=said):
        export("boxed", "detectron2", site, task=task)


def test_a_stage_of_another_task_is_refused(trained: Path, site: Site) -> None:
    with pytest.raises(StoreError, match="tiny"):
        export(stage(trained, "tiny").id, "detectron2", site, task="det")


@pytest.mark.parametrize("more", [{"head": True}, {"key": True}, {"form": "torchvision"}])
def test_only_detectron2_has_whole_detectors(site: Site, more: dict[str, object]) -> None:
    said = {"form": "detectron2", **more}
    with pytest.raises(RecipeError, match="detectron2"):
        export("boxed", site=site, task="det", **said)  # type: ignore[arg-type]


def test_unfinished_damaged_and_doubled(trained: Path, tmp_path: Path) -> None:
    leave = shutil.ignore_patterns("exports")
    shutil.copytree(trained / "runs", tmp_path / "runs", ignore=leave)
    site = harness.load_site(runs=tmp_path / "runs")
    folder = stage(tmp_path, "det")
    twin = folder.path.with_name(folder.id[:-1] + ("0" if folder.id[-1] != "0" else "1"))
    twin.mkdir()
    shutil.copy(folder.path / "stage.json", twin)
    with pytest.raises(StoreError) as caught:
        export("boxed", "detectron2", site, task="det")
    assert folder.id in str(caught.value)
    assert twin.name in str(caught.value)
    shutil.rmtree(twin)
    (newest,) = folder.checkpoints.glob("step-00000001-*.pt")
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(StoreError, match="digest"):
        export("boxed", "detectron2", site, task="det")
    (folder.path / "result.json").unlink()
    with pytest.raises(StoreError, match="the task det is"):
        export("boxed", "detectron2", site, task="det")
    (folder.path / "stage.json").write_text(json.dumps({}))
    with pytest.raises(StoreError):
        export("boxed", "detectron2", site, task="det")
    assert not (tmp_path / "runs" / "exports").exists()
