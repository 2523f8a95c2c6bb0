"""The draws: pure functions of key and index, distributed as torchvision's own."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import ColorJitter, RandomResizedCrop

from harness.data.parameters import Parameters, draw
from harness.recipe.schema import Augment
from harness.runtime import keyed

N = 4000
V1 = Augment()
V2 = Augment(jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, grayscale_first=False, blur_p=0.5)
KEY = keyed.key(0, "augment", 0, 0)
FIELDS = tuple(Parameters.__dataclass_fields__)


def same(a: Parameters, b: Parameters) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


def assert_same_distribution(a: Tensor, b: Tensor) -> None:
    """Two-sample Kolmogorov-Smirnov at the level 1e-4 (conservative where values repeat)."""
    a, b = a.double().sort().values, b.double().sort().values
    at = torch.cat([a, b])
    cdf = [torch.searchsorted(s, at, right=True) / len(s) for s in (a, b)]
    distance = (cdf[0] - cdf[1]).abs().max().item()
    limit = math.sqrt(-math.log(1e-4 / 2) / 2 * (len(a) + len(b)) / (len(a) * len(b)))
    assert distance < limit


def assert_uncorrelated(a: Tensor, b: Tensor) -> None:
    r = torch.corrcoef(torch.stack([a.double(), b.double()]))[0, 1].item()
    assert abs(r) < 4 / math.sqrt(len(a))


def columns(p: Parameters) -> dict[str, Tensor]:
    """Every choice as one column of numbers, the crop's and the order's split up."""
    named = {name: getattr(p, name) for name in FIELDS if name not in ("crop", "order")}
    named |= {f"crop{c}": p.crop[:, c] for c in range(4)}
    return named | {f"order{c}": p.order[:, c] for c in range(4)}


def test_a_sample_is_drawn_alike_in_any_batch() -> None:
    everything = draw(V2, KEY, torch.arange(300), (32, 48))
    some = torch.tensor([7, 299, 0, 123])
    assert same(draw(V2, KEY, some, (32, 48)), everything[some])
    assert same(draw(V2, KEY, torch.arange(100, 200), (32, 48)), everything[100:200])


def test_sizes_may_differ_by_sample() -> None:
    sizes = torch.tensor([[32, 48], [500, 375], [10, 200]])
    p = draw(V2, KEY, torch.arange(3), sizes)
    for i, size in enumerate(sizes.tolist()):
        assert same(draw(V2, KEY, torch.tensor([i]), (size[0], size[1])), p[i : i + 1])


@pytest.mark.parametrize(
    ("size", "policy"),
    [
        ((32, 32), V1),
        ((375, 500), V1),
        ((375, 500), Augment(crop_scale=(0.08, 1.0))),
        ((20, 60), Augment(crop_scale=(0.6, 1.0))),  # half of the draws fall back to the centre
    ],
)
def test_crops_are_distributed_as_torchvisions(size: tuple[int, int], policy: Augment) -> None:
    ours = draw(policy, KEY, torch.arange(N), size).crop
    torch.manual_seed(1)
    image = torch.empty(3, *size)
    theirs = torch.tensor(
        [
            RandomResizedCrop.get_params(image, list(policy.crop_scale), list(policy.crop_ratio))
            for _ in range(N)
        ]
    )
    for c in range(4):
        assert_same_distribution(ours[:, c], theirs[:, c])
    assert_same_distribution(ours[:, 2] * ours[:, 3], theirs[:, 2] * theirs[:, 3])
    assert_same_distribution(ours[:, 3] / ours[:, 2], theirs[:, 3] / theirs[:, 2])
    assert_same_distribution(ours[:, 0] + ours[:, 2], theirs[:, 0] + theirs[:, 2])


def test_crops_lie_inside() -> None:
    sizes = torch.randint(1, 40, (N, 2), generator=torch.Generator().manual_seed(0))
    crop = draw(Augment(crop_scale=(0.0, 1.0)), KEY, torch.arange(N), sizes).crop
    assert (crop[:, :2] >= 0).all()
    assert (crop[:, 2:] >= 1).all()
    assert (crop[:, :2] + crop[:, 2:] <= sizes).all()


@pytest.mark.parametrize("size", [(10, 100), (100, 10), (37, 400)])
def test_what_never_fits_is_cropped_in_the_centre(size: tuple[int, int]) -> None:
    policy = Augment(crop_scale=(0.95, 1.0))
    crop = draw(policy, KEY, torch.arange(50), size).crop
    expected = RandomResizedCrop.get_params(
        torch.empty(3, *size), list(policy.crop_scale), list(policy.crop_ratio)
    )
    assert (crop == torch.tensor(expected)).all()


@pytest.mark.parametrize("jitter", [(0.4, 0.4, 0.4, 0.4), (0.8, 1.5, 0.2, 0.1)])
def test_jitter_is_distributed_as_torchvisions(jitter: tuple[float, float, float, float]) -> None:
    ours = draw(Augment(jitter=jitter), KEY, torch.arange(N), (32, 32))
    torch.manual_seed(2)
    policy = ColorJitter(*jitter)
    theirs = [
        ColorJitter.get_params(policy.brightness, policy.contrast, policy.saturation, policy.hue)
        for _ in range(N)
    ]
    for c, name in enumerate(("brightness", "contrast", "saturation", "hue")):
        assert_same_distribution(getattr(ours, name), torch.tensor([t[c + 1] for t in theirs]))


def test_orders_are_uniform() -> None:
    order = draw(V1, KEY, torch.arange(24_000), (32, 32)).order
    code = (order * torch.tensor([64, 16, 4, 1])).sum(-1)
    wanted = [64 * a + 16 * b + 4 * c + d for a, b, c, d in itertools.permutations(range(4))]
    counts = torch.stack([(code == w).sum() for w in wanted]).double()
    assert counts.sum() == len(order)
    chi_squared = ((counts - 1000).square() / 1000).sum().item()
    assert chi_squared < 57  # 23 degrees of freedom: exceeded once in 10,000


def test_probabilities_and_blur() -> None:
    p = draw(V2, KEY, torch.arange(N), (32, 32))
    for name, expected in (("jitter", 0.8), ("gray", 0.2), ("blur", 0.5), ("flip", 0.5)):
        share = getattr(p, name).double().mean().item()
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / N)
    uniform = torch.rand(N, generator=torch.Generator().manual_seed(3))
    assert_same_distribution(p.sigma, 0.1 + 1.9 * uniform)


def test_the_choices_are_independent_of_each_other() -> None:
    chosen = columns(draw(V2, KEY, torch.arange(N), (96, 96)))
    related = ("crop", "order")  # the parts of a crop, or of an order, depend on each other
    for a, b in itertools.combinations(chosen, 2):
        if not any(a.startswith(part) and b.startswith(part) for part in related):
            assert_uncorrelated(chosen[a], chosen[b])


@pytest.mark.parametrize(
    "other", [(0, "augment", 0, 1), (0, "augment", 1, 0), (1, "augment", 0, 0)]
)
def test_views_epochs_and_seeds_are_independent(other: tuple[int | str, ...]) -> None:
    one = columns(draw(V2, KEY, torch.arange(N), (96, 96)))
    two = columns(draw(V2, keyed.key(*other), torch.arange(N), (96, 96)))
    for name in one:
        assert_uncorrelated(one[name], two[name])


def test_what_is_switched_off_changes_nothing() -> None:
    policy = Augment(jitter=(0, 0, 0, 0), jitter_p=0, grayscale_p=0, blur_p=0, flip_p=0)
    p = draw(policy, KEY, torch.arange(200), (32, 32))
    for mask in (p.jitter, p.gray, p.blur, p.flip):
        assert not mask.any()
    for factor in (p.brightness, p.contrast, p.saturation):
        assert (factor == 1).all()
    assert (p.hue == 0).all()


def test_types_selection_and_moves() -> None:
    p = draw(V2, KEY, torch.arange(6), (32, 32))
    assert len(p) == 6
    assert p.crop.dtype == p.order.dtype == torch.int64
    assert p.jitter.dtype == p.gray.dtype == p.blur.dtype == p.flip.dtype == torch.bool
    assert p.hue.dtype == p.sigma.dtype == torch.float32
    assert same(p[p.flip], p[p.flip.nonzero()[:, 0]])
    assert same(p.to("cpu"), p)
    assert len(draw(V2, KEY, torch.arange(0), (32, 32))) == 0
