"""Instance segmentation as a stage: masks are learnt beside boxes, on any number of processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gloo import Pool

from harness.certify.trajectory import largest_difference
from harness.data.coco_instances import decompressed
from harness.data.instances import RunLengths
from harness.recipe.load import load_recipe
from harness.stage.detection import Detecting
from harness.store import pictures

from .finetuned import OUTLINES, detecting, masked_in_float64
from .test_detection import boxed, ended
from .test_trainable import ALONE
from .tiny import run


@pytest.mark.slow
def test_two_processes_train_what_one_trains(gloo: Pool) -> None:
    expected = masked_in_float64(ALONE)
    untrained = detecting(ALONE, OUTLINES, backbone="resnet18").work.model.state_dict()
    for name, tensor in expected.items():
        if name.startswith("mask."):
            assert not torch.equal(tensor, untrained[name]), name
    for found in gloo.run(masked_in_float64, 2, timeout=120):
        assert largest_difference(expected, found) < 1e-9


def test_detections_alone_learn_no_masks() -> None:
    boxes = {**OUTLINES, "kind": "detection", "detector": "fpn"}
    for said, masked in ((OUTLINES, True), (boxes, False)):
        work = detecting(ALONE, said, backbone="resnet18").work
        assert isinstance(work, Detecting)
        assert all((each.masks is not None) == masked for each in work.share(0).targets)


@pytest.mark.libraries
def test_both_average_precisions_are_reported(tmp_path: Path) -> None:
    recipe = boxed(
        tmp_path,
        ("kind: detection, detector: small", "kind: instances, detector: mask_fpn"),
        ("steps: 6", "steps: 2"),
    )
    recipe.write_text(recipe.read_text().replace("miniature", "resnet18"))
    assert load_recipe(recipe).tasks["det"].kind == "instances"
    folder = run(recipe, tmp_path / "runs", kinds=("pretrain", "instances"))["instances"]
    values = ended(folder)["values"]
    for name in ("ap", "ap50", "ap75", "mask_ap", "mask_ap50", "mask_ap75"):
        assert 0 <= values[f"instances/{name}"] <= 100
    assert pictures.read(folder.path, ended(folder)) is not None


@pytest.mark.libraries
def test_masks_are_those_of_the_files_size() -> None:
    from harness.evaluate.detection import found_in

    work = detecting(ALONE, OUTLINES, backbone="resnet18").work
    assert isinstance(work, Detecting)
    model = work.model.float().eval()
    with torch.no_grad():
        model.box.score.weight *= 40
    for one in found_in(model, work.data, torch.arange(2), 64, 999, ALONE.device):
        assert one.masks is not None
        assert len(one.masks) == len(one) > 0
        for mask in one.masks:
            counts = torch.tensor(decompressed(mask.decode())).numpy()
            assert RunLengths((32, 32), counts).mask().shape == (32, 32)
            assert counts.sum() == 32 * 32
