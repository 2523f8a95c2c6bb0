"""The oracles against torch's own pieces and against numbers worked out by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .knn import knn
from .linear_probe import linear_probe
from .moco import MocoOracle, forward_in_groups, info_nce, l2_normalise
from .schedule import constant, cosine, steps


class Mean(nn.Module):
    """Maps (n, 3, H, W) to (n, 3): the channels' means, times a learnt scale of 1."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3)) * self.scale


def normed() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 6),
    ).double()


def images_pointing(*directions: int) -> Tensor:
    """One 3 x 1 x 1 image per entry, whose only non-zero channel is the one named."""
    images = torch.zeros(len(directions), 3, 1, 1, dtype=torch.float64)
    for i, channel in enumerate(directions):
        images[i, channel] = 2.0
    return images


def oracle_of(
    encoder: nn.Module,
    queue: Tensor,
    *,
    bn_group: int = 2,
    momentum: float = 0.9,
    temperature: float = 0.2,
    lr: float = 0.0,
    sgd_momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> MocoOracle:
    return MocoOracle(
        encoder,
        queue=queue,
        momentum=momentum,
        temperature=temperature,
        bn_group=bn_group,
        lr=lr,
        sgd_momentum=sgd_momentum,
        weight_decay=weight_decay,
    )


def two_views(count: int = 4) -> tuple[Tensor, Tensor]:
    """Two batches of random images, (count, 3, 5, 5) each."""
    return (
        torch.randn(count, 3, 5, 5, dtype=torch.float64),
        torch.randn(count, 3, 5, 5, dtype=torch.float64),
    )


def test_info_nce_is_cross_entropy_with_the_positive_as_class_0() -> None:
    queries = F.normalize(torch.randn(5, 8, dtype=torch.float64), dim=1)
    keys = F.normalize(torch.randn(5, 8, dtype=torch.float64), dim=1)
    queue = F.normalize(torch.randn(11, 8, dtype=torch.float64), dim=1)
    ours = torch.stack(
        [info_nce(q, k, queue, 0.07) for q, k in zip(queries, keys, strict=True)]
    ).mean()
    logits = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue.T], dim=1) / 0.07
    torch.testing.assert_close(ours, F.cross_entropy(logits, torch.zeros(5, dtype=torch.int64)))


def test_info_nce_by_hand() -> None:
    # cosines 1 (positive), 0 and -1 at temperature 0.5: logits 2, 0, -2
    east, north = torch.eye(2, dtype=torch.float64)
    loss = info_nce(east, east, torch.stack([north, -east]), 0.5)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2) + math.exp(-4)), abs=1e-12)


@pytest.mark.parametrize("size", [1.0, 1e-9, 1e-12, 1e-13, 0.0])
def test_l2_normalise_is_torchs_with_its_gradient(size: float) -> None:
    ours = (torch.randn(7, dtype=torch.float64) * size).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    weights = torch.randn(7, dtype=torch.float64)
    left, right = l2_normalise(ours), F.normalize(theirs, dim=0)
    torch.testing.assert_close(left, right)
    (left * weights).sum().backward()
    (right * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    ("mu", "decay"), [(0.9, 0.1), (0.9, 0.0), (0.0, 0.1)], ids=["both", "momentum", "decay"]
)
def test_sgd_is_torchs(mu: float, decay: float) -> None:
    encoder = normed()
    queue = F.normalize(torch.randn(5, 6, dtype=torch.float64), dim=1)
    oracle = oracle_of(encoder, queue, lr=0.3, sgd_momentum=mu, weight_decay=decay, bn_group=4)
    optimiser = torch.optim.SGD(encoder.parameters(), lr=0.3, momentum=mu, weight_decay=decay)
    for rate in (0.3, 0.3, 0.03, 0.03):
        x = torch.randn(4, 3, 5, 5, dtype=torch.float64)
        encoder.train()
        q = F.normalize(encoder(x), dim=1)
        # one group and no shuffle: the key encoder is an ordinary module too
        k = F.normalize(copy.deepcopy(oracle.key)(x), dim=1)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ oracle.queue.T], dim=1) / 0.2
        loss = F.cross_entropy(logits, torch.zeros(4, dtype=torch.int64))
        optimiser.zero_grad()
        loss.backward()
        oracle.lr = optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
        assert oracle.step(x, x) == pytest.approx(loss.item(), abs=1e-12)
    for ours, theirs in zip(oracle.query.parameters(), encoder.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_queue_is_first_in_first_out_and_wraps() -> None:
    # K = 5 and N = 2: rows 0 1 | 2 3 | 4 0 | 1 2. Initial rows are marked by length, not direction.
    start = torch.zeros(5, 3, dtype=torch.float64)
    start[:, 2] = -1.0
    oracle = oracle_of(Mean(), start)
    x, y, z = torch.eye(3, dtype=torch.float64)
    old = -z
    batches = [(0, 1), (2, 2), (0, 2), (1, 1)]
    expected = [
        ([x, y, old, old, old], 2),
        ([x, y, z, z, old], 4),
        ([z, y, z, z, x], 1),
        ([z, y, y, z, x], 3),
    ]
    for batch, (rows, first) in zip(batches, expected, strict=True):
        images = images_pointing(*batch)
        oracle.step(images, images)
        assert oracle.queue.tolist() == torch.stack(rows).tolist()
        assert oracle.first_row == first


def test_a_step_does_not_see_its_own_keys() -> None:
    queue = torch.tensor([[0.0, 0.0, 1.0]] * 2, dtype=torch.float64)
    oracle = oracle_of(Mean(), queue, temperature=1.0)
    images = images_pointing(0, 1)
    assert oracle.step(images, images) == pytest.approx(math.log(1 + 2 / math.e), abs=1e-12)
    # now the queue is [x, y]: for either query one negative equals the positive
    assert oracle.step(images, images) == pytest.approx(math.log(2 + 1 / math.e), abs=1e-12)


def test_a_batch_may_fill_the_queue_but_not_exceed_it() -> None:
    oracle = oracle_of(Mean(), torch.eye(3, dtype=torch.float64)[:2])
    images = images_pointing(1, 2)
    oracle.step(images, images)
    assert oracle.queue.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert oracle.first_row == 0
    too_many = images_pointing(0, 1, 2, 0)
    with pytest.raises(ValueError, match="does not fit"):
        oracle.step(too_many, too_many)


def test_key_parameters_move_by_one_minus_m_towards_the_updated_query() -> None:
    # Blank images give zero embeddings, so the penalty is the only gradient.
    oracle = oracle_of(
        Mean(), torch.eye(3, dtype=torch.float64), lr=0.5, sgd_momentum=0.5, weight_decay=0.2
    )
    blank = torch.zeros(2, 3, 1, 1, dtype=torch.float64)
    # step 1: buf = 0.2 * 1 = 0.2;             q = 1 - 0.5 * 0.2 = 0.9; k = 0.9 * 1 + 0.1 * 0.9
    # step 2: buf = 0.5 * 0.2 + 0.2 * 0.9 = 0.28; q = 0.9 - 0.14 = 0.76; k = 0.9 * 0.99 + 0.1 * 0.76
    for q, k in [(0.9, 0.99), (0.76, 0.967)]:
        oracle.step(blank, blank)
        assert dict(oracle.query.named_parameters())["scale"].tolist() == pytest.approx([q] * 3)
        assert dict(oracle.key.named_parameters())["scale"].tolist() == pytest.approx([k] * 3)


def test_momentum_0_copies_parameters_but_not_running_statistics() -> None:
    queue = F.normalize(torch.randn(4, 6, dtype=torch.float64), dim=1)
    oracle = oracle_of(normed(), queue, momentum=0.0, lr=0.1)
    oracle.step(*two_views())
    of_query, of_key = oracle.query.state_dict(), oracle.key.state_dict()
    for name, _ in oracle.query.named_parameters():
        assert torch.equal(of_query[name], of_key[name]), name
    assert not torch.allclose(of_query["1.running_mean"], of_key["1.running_mean"])


def test_the_callers_modules_stay_as_they_were() -> None:
    encoder, queue = normed(), F.normalize(torch.randn(4, 6, dtype=torch.float64), dim=1)
    before, rows = copy.deepcopy(encoder.state_dict()), queue.clone()
    oracle_of(encoder, queue, lr=0.1).step(*two_views())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert torch.equal(queue, rows)


def test_shuffle_takes_image_permutation_j_to_position_j_and_back() -> None:
    # Groups of 2 of the batch [0 1 2 3] seen as [2 0 3 1]: image 0 shares its group with image 2.
    queue = F.normalize(torch.randn(5, 6, dtype=torch.float64), dim=1)
    oracle = oracle_of(normed(), queue)
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    encoder = copy.deepcopy(oracle.key).train()
    first, second = encoder(x[[2, 0]]), encoder(x[[3, 1]])
    oracle.step(x, x, torch.tensor([2, 0, 3, 1]))
    expected = F.normalize(torch.stack([first[1], second[1], first[0], second[0]]), dim=1)
    torch.testing.assert_close(oracle.keys, expected)
    torch.testing.assert_close(oracle.queue[:4], expected)


def test_shuffling_within_one_group_changes_nothing() -> None:
    queue = F.normalize(torch.randn(5, 6, dtype=torch.float64), dim=1)
    views = two_views()
    encoder = normed()
    plain = oracle_of(encoder, queue, bn_group=4).step(*views)
    shuffled = oracle_of(encoder, queue, bn_group=4).step(*views, torch.tensor([1, 2, 3, 0]))
    assert plain == pytest.approx(shuffled, abs=1e-12)


@pytest.mark.parametrize("permutation", [[0, 0, 1, 2], [0, 1, 2], [1, 2, 3, 4]])
def test_what_is_not_a_permutation_is_refused(permutation: list[int]) -> None:
    oracle = oracle_of(normed(), torch.eye(6, dtype=torch.float64))
    views = two_views()
    with pytest.raises(ValueError, match="permutation"):
        oracle.step(*views, torch.tensor(permutation))


def test_a_ragged_last_group_is_refused() -> None:
    with pytest.raises(ValueError, match="groups of 4"):
        forward_in_groups(normed(), torch.randn(6, 3, 5, 5, dtype=torch.float64), 4, "mean")


def test_running_statistics_by_hand() -> None:
    # One channel, groups {0, 2} and {4, 10}: means 1 and 7, unbiased variances 2 and 18.
    # From mean 0 and variance 1 with BN momentum 0.1: means .1 and .7, variances 1.1 and 2.7.
    x = torch.tensor([0.0, 2.0, 4.0, 10.0], dtype=torch.float64).reshape(4, 1, 1, 1)
    first, mean = nn.BatchNorm2d(1).double(), nn.BatchNorm2d(1).double()
    out = forward_in_groups(first, x, 2, "first_group")
    forward_in_groups(mean, x, 2, "mean")
    assert out.flatten().tolist() == pytest.approx([-1, 1, -1, 1], abs=1e-4)
    values = [first.running_mean, first.running_var, mean.running_mean, mean.running_var]
    assert [float(v) for v in values if v is not None] == pytest.approx([0.1, 1.1, 0.4, 1.9])
    assert int(first.num_batches_tracked or 0) == int(mean.num_batches_tracked or 0) == 1


def test_gradients_of_all_groups_add_up() -> None:
    grouped = normed()
    apart = copy.deepcopy(grouped)
    x = torch.randn(4, 3, 5, 5, dtype=torch.float64)
    weights = torch.randn(4, 6, dtype=torch.float64)
    (forward_in_groups(grouped, x, 2, "first_group") * weights).sum().backward()
    for half in (slice(0, 2), slice(2, 4)):
        (apart.train()(x[half]) * weights[half]).sum().backward()
    for ours, theirs in zip(grouped.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_knn_weights_beat_the_majority() -> None:
    # Cosines 1, 0, 0 at T = 1: class 1 has e = 2.72 votes, class 0 two times exp(0) = 2.
    bank = torch.tensor([[0.0, 5.0], [0.0, -2.0], [3.0, 0.0]])
    labels = torch.tensor([0, 0, 1])
    query = torch.tensor([[0.5, 0.0]])
    result = knn(bank, labels, query, torch.tensor([1]), k=3, temperature=1.0)
    assert result.accuracy == 100.0
    assert result.votes.tolist() == [pytest.approx([2.0, math.e])]
    # at T = 2 the majority wins: exp(1/2) = 1.65 against 2
    assert knn(bank, labels, query, torch.tensor([1]), k=3, temperature=2.0).accuracy == 0.0


def test_knn_ties_by_hand() -> None:
    north, south, east = [0.0, 1.0], [0.0, -1.0], [1.0, 0.0]
    bank = torch.tensor([north, south, north])
    labels = torch.tensor([2, 1, 0])
    query, truth = torch.tensor([east]), torch.tensor([1])
    # all three are at cosine 0: k = 2 takes indices 0 and 1 (classes 2, 1), the lower class wins
    two = knn(bank, labels, query, truth, k=2, temperature=0.1)
    assert (two.predictions.tolist(), two.accuracy) == ([1], 100.0)
    assert two.votes.tolist() == [[0.0, 1.0, 1.0]]
    assert two.boundary.tolist() == [0.0]
    # k = 1 takes index 0, k = 3 all of them
    assert knn(bank, labels, query, truth, k=1, temperature=0.1).predictions.tolist() == [2]
    three = knn(bank, labels, query, truth, k=3, temperature=0.1)
    assert three.predictions.tolist() == [0]
    assert three.boundary.tolist() == [math.inf]


def test_knn_is_the_demos_topk_and_scatter() -> None:
    bank, queries = torch.randn(60, 7, dtype=torch.float64), torch.randn(25, 7, dtype=torch.float64)
    labels, truth = torch.randint(0, 4, (60,)), torch.randint(0, 4, (25,))
    result = knn(bank, labels, queries, truth, k=9, temperature=0.1)
    value, index = (F.normalize(queries, dim=1) @ F.normalize(bank, dim=1).T).topk(9, dim=1)
    votes = torch.zeros(25, 4, dtype=torch.float64)
    votes.scatter_add_(1, labels[index], (value / 0.1).exp())
    torch.testing.assert_close(result.votes, votes)
    assert result.predictions.tolist() == votes.argmax(dim=1).tolist()
    assert result.accuracy == pytest.approx(100 * (votes.argmax(1) == truth).double().mean())


def test_more_neighbours_than_keys_are_refused() -> None:
    one = torch.ones(1, 2)
    with pytest.raises(ValueError, match="2 neighbours of 1"):
        knn(one, torch.tensor([0]), one, torch.tensor([0]), k=2, temperature=0.1)


@pytest.mark.parametrize("per_epoch", [False, True])
def test_linear_probe_is_torchs(per_epoch: bool) -> None:
    features = torch.randn(3, 12, 5, dtype=torch.float64).abs()
    if not per_epoch:
        features[1:] = features[0]
    labels = torch.randint(0, 3, (12,))
    fc = nn.Linear(5, 3).double()
    nn.init.normal_(fc.weight, std=0.01)
    nn.init.zeros_(fc.bias)
    start = fc.weight.detach().clone()
    optimiser = torch.optim.SGD(fc.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)
    batches = [list(torch.randperm(12).split(5)[:2]) for _ in range(3)]  # the last 2 are dropped
    losses = []
    for epoch, order in enumerate(batches):
        optimiser.param_groups[0]["lr"] = 0.5 * (0.1 if epoch >= 2 else 1.0)
        for indices in order:
            loss = nn.CrossEntropyLoss()(fc(features[epoch][indices]), labels[indices])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    result = linear_probe(
        list(features) if per_epoch else features[0],
        labels,
        start,
        batches,
        lr=0.5,
        weight_decay=0.01,
        drops=(2,),
    )
    torch.testing.assert_close(result.weight, fc.weight.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(result.bias, fc.bias.detach(), rtol=1e-10, atol=1e-12)
    assert result.losses == pytest.approx(losses, abs=1e-12)


def test_linear_probe_by_hand() -> None:
    # Two classes, W = 0, x = 2, label 0: p = (.5, .5), loss ln 2, dW = (-1, 1), db = (-.5, .5).
    x, label = torch.tensor([[2.0]], dtype=torch.float64), torch.tensor([0])
    start = torch.zeros(2, 1, dtype=torch.float64)
    result = linear_probe(x, label, start, [[torch.tensor([0])]], lr=0.1)
    assert result.losses == [pytest.approx(math.log(2))]
    assert result.weight.flatten().tolist() == pytest.approx([0.1, -0.1])
    assert result.bias.tolist() == pytest.approx([0.05, -0.05])


@pytest.mark.parametrize(
    ("epoch", "lr"),
    # 1 + cos(pi * 199/200) = 1 - cos(pi/200) = 1.2336752e-4, times 0.015
    [(0, 0.03), (100, 0.015), (199, 1.8505128e-6)],
)
def test_cosine_from_0_never_reaches_0(epoch: int, lr: float) -> None:
    assert cosine(0.03, epoch, 200) == pytest.approx(lr, rel=1e-6)


@pytest.mark.parametrize(
    ("epoch", "lr"), [(0, 0.03 - 1.8505128e-6), (99, 0.015), (198, 1.8505128e-6), (199, 0.0)]
)
def test_cosine_from_1_ends_at_0(epoch: int, lr: float) -> None:
    assert cosine(0.03, epoch, 200, first=1) == pytest.approx(lr, rel=1e-6, abs=1e-15)


def test_cosine_is_torchs() -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.03)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=200)
    for epoch in range(200):
        assert cosine(0.03, epoch, 200) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimiser.step()
        theirs.step()


@pytest.mark.parametrize(
    ("epoch", "lr"), [(0, 0.03), (119, 0.03), (120, 0.003), (159, 0.003), (160, 3e-4), (199, 3e-4)]
)
def test_steps_drop_at_the_start_of_the_epoch(epoch: int, lr: float) -> None:
    assert steps(0.03, epoch, (120, 160)) == pytest.approx(lr)


def test_constant_stays() -> None:
    assert [constant(0.03, epoch) for epoch in (0, 199)] == [0.03, 0.03]
