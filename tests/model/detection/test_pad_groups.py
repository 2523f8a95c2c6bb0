"""Pad groups: the norms' statistics, and the same step on any number of processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import Pool
from torch import Tensor

from harness.data.scenes import scene
from harness.errors import HarnessError
from harness.model.detection.boxes import Target
from harness.model.detection.build import build_detector
from harness.model.detection.detector import Detector, check_shares
from harness.model.synchronised import synchronise_norms
from harness.model.detection.pad_groups import PadGroupNorm, in_groups
from harness.model.encoder import build
from harness.model.fcn import load_backbone
from harness.model.synchronised import set_precise_statistics
from harness.recipe.schema import Model
from harness.runtime.world import World

from .norm_reference import factors, fill_norm, group

WANTED = json.loads(Path(__file__).with_name("naive_sync_bn.json").read_text())
MODEL = Model.model_validate({"backbone": "miniature", "bn_group": 2})


def normed(world: World, numbers: list[int]) -> tuple[list[Tensor], list[Tensor], PadGroupNorm]:
    """Outputs and the inputs' gradients of some of the groups."""
    norm = PadGroupNorm(3, group=4)
    fill_norm(norm)
    norm.world = world
    inputs = [group(number).requires_grad_(True) for number in numbers]
    outputs = norm.forward_groups(inputs)
    parts = [(out * factors(n)).sum() for out, n in zip(outputs, numbers, strict=True)]
    torch.stack(parts).sum().backward()
    gradients = [each.grad for each in inputs if each.grad is not None]
    return [each.detach() for each in outputs], gradients, norm


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


def norm_of_rank(world: World) -> tuple[list[Tensor], list[Tensor]]:
    return normed(world, [world.rank])[:2]


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


def batch(count: int, *, sides: tuple[int, ...] = (40, 48, 36, 44)) -> tuple[Any, ...]:
    """Scenes of different sizes with their targets and keys, in float64."""
    images, targets, keys = [], [], []
    for n in range(count):
        made = scene("train", n, sides[n % len(sides)])
        images.append(made.image.double() / 127.5 - 1)
        targets.append(Target(made.boxes, made.labels))
        keys.append(1000 + n)
    return images, targets, keys


def tiny() -> Detector:
    return build_detector("small", MODEL, 10, 2, 0, "trial", 0).double()


def step(world: World, count: int) -> tuple[dict[str, float], dict[str, Tensor]]:
    """One step's losses, means over processes, then the gradients and running statistics."""
    network = tiny()
    check_shares(network, batch=count, world=world)
    synchronise_norms(network, batch=count, world=world)
    share = count // world.size
    own = slice(world.rank * share, (world.rank + 1) * share)
    images, targets, keys = batch(count)
    losses = network(images[own], targets[own], keys[own])
    torch.stack(list(losses.values())).sum().backward()
    gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    for each in gradients.values():
        world.average_(each)
    means = {n: float(world.sum(each.detach())) / world.size for n, each in losses.items()}
    return means, gradients | {n: b for n, b in network.named_buffers() if "running" in n}


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


def test_processes_that_would_share_a_pad_group_are_refused() -> None:
    world = World.alone(torch.device("cpu"))
    with pytest.raises(HarnessError):
        check_shares(tiny(), batch=7, world=world)
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
