"""Pad groups: the norms' statistics, and the same step on any number of processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import Pool
from torch import Tensor

from harness.model.detection.build import build_detector
from harness.model.detection.pad_groups import PadGroupNorm, in_groups
from harness.model.encoder import build
from harness.model.fcn import load_backbone
from harness.model.synchronised import set_precise_statistics
from harness.runtime.world import World

from .norm_reference import norm_of_rank, normed
from .small_step import MODEL, batch, step, tiny

WANTED = json.loads(Path(__file__).with_name("naive_sync_bn.json").read_text())


def compare(outputs: list[Tensor], gradients: list[Tensor], wanted: list[dict[str, Any]]) -> None:
    for out, gradient, other in zip(outputs, gradients, wanted, strict=True):
        torch.testing.assert_close(out.flatten(), torch.tensor(other["out"]), rtol=0, atol=1e-5)
        flat = torch.tensor(other["gradient"])
        torch.testing.assert_close(gradient.flatten(), flat, rtol=0, atol=1e-5)
        assert float(flat.abs().max()) > 0.1


def test_groups_of_different_sizes_have_the_same_weight() -> None:
    outputs, gradients, norm = normed(World.alone(torch.device("cpu")), [0, 1])
    compare(outputs, gradients, WANTED)
    for name in ("running_mean", "running_var"):
        found, wanted = getattr(norm, name), torch.tensor(WANTED[0][name])
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    for name in ("weight", "bias"):
        total = torch.tensor(WANTED[0][name]) + torch.tensor(WANTED[1][name])
        torch.testing.assert_close(getattr(norm, name).grad, total, rtol=0, atol=1e-4)


def test_two_processes_normalise_as_detectron2s_do(gloo: Pool) -> None:
    for rank, (outputs, gradients) in enumerate(gloo.run(norm_of_rank, 2)):
        compare(outputs, gradients, WANTED[rank : rank + 1])


def test_images_are_padded_with_those_of_their_group_alone() -> None:
    images = [torch.ones(3, *size) for size in ((5, 9), (7, 4), (3, 3), (3, 6))]
    groups, sizes = in_groups(images, 2, 1)
    assert [tuple(each.shape) for each in groups] == [(2, 3, 7, 9), (2, 3, 3, 6)]
    assert sizes == [[(5, 9), (7, 4)], [(3, 3), (3, 6)]]
    assert float(groups[0][1].sum()) == 3 * 7 * 4
    assert float(groups[0][1, :, :7, :4].min()) == 1
    assert in_groups(images, 2, 4)[0][0].shape == (2, 3, 8, 12)


def test_a_step_is_the_same_on_one_two_and_four_processes(gloo: Pool) -> None:
    losses, tensors = step(World.alone(torch.device("cpu")), 8)
    assert min(losses.values()) > 1e-3
    assert {"backbone.conv1.weight", "head.norm.weight", "head.norm.running_var"} <= set(tensors)
    for size in (2, 4):
        for other_losses, others in gloo.run(step, size, 8):
            assert other_losses == pytest.approx(losses, abs=1e-12)
            assert others.keys() == tensors.keys()
            for name, each in tensors.items():
                torch.testing.assert_close(others[name], each, rtol=1e-9, atol=1e-12, msg=name)


def test_images_that_are_no_whole_pad_groups_are_refused() -> None:
    network, three = tiny(), batch(3)
    with pytest.raises(ValueError, match="3 images"):
        network(*three)


def test_padding_belongs_to_the_recipe() -> None:
    """Other neighbours are another experiment: the norms see their padding."""
    images, targets, keys = batch(4)
    one = tiny()(images, targets, keys)
    order = [0, 2, 1, 3]
    other = tiny()(*([each[n] for n in order] for each in (images, targets, keys)))
    assert abs(float(one["class"].detach() - other["class"].detach())) > 1e-6


def test_draws_depend_on_an_images_key_and_not_on_its_place() -> None:
    images, targets, keys = batch(2, sides=(40,))
    forth = tiny()(images, targets, keys)
    back = tiny()(images[::-1], targets[::-1], keys[::-1])
    other = tiny()(images, targets, [7, 8])
    for name, loss in forth.items():
        torch.testing.assert_close(back[name], loss)
    assert (
        abs(float((other["rpn_box"] - forth["rpn_box"]).detach())) > 1e-9
        or abs(float((other["class"] - forth["class"]).detach())) > 1e-9
    )


def test_a_parents_backbone_is_loaded_by_its_own_names() -> None:
    parent = build(MODEL, 3).backbone.state_dict()
    network = build_detector("small", MODEL, 10, 2, 0)
    load_backbone(network, parent, "runs/parent")
    loaded = network.backbone.state_dict()
    assert all(torch.equal(loaded[each], parent[each]) for each in parent)


def test_precise_statistics_are_means_of_the_batches() -> None:
    network = tiny()
    norm = network.get_submodule("head.norm")
    runs = [batch(2), batch(4)]
    alone = []
    for each in runs:
        set_precise_statistics(network, (network(*once) for once in [each]))
        assert isinstance(norm, PadGroupNorm)
        assert norm.running_var is not None
        alone.append(norm.running_var.clone())
    set_precise_statistics(network, (network(*each) for each in runs))
    torch.testing.assert_close(norm.running_var, torch.stack(alone).mean(0))
    assert not torch.equal(alone[0], alone[1])
