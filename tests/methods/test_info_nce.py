"""InfoNCE against cross-entropy over the joined logits, and its count of correct."""

import math

import torch
import torch.nn.functional as F

from harness.methods.info_nce import info_nce


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=draw, dtype=torch.float64), dim=-1)


def test_it_is_the_cross_entropy_of_the_positive() -> None:
    q, k, queue = unit(6, 8, seed=1).requires_grad_(), unit(6, 8, seed=2), unit(50, 8, seed=3)
    loss, correct = info_nce(q, k, queue, 0.07)
    logits = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.T], dim=1) / 0.07
    expected = F.cross_entropy(logits, torch.zeros(6, dtype=torch.int64))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, q)[0], torch.autograd.grad(expected, q)[0])
    assert correct == (logits.argmax(1) == 0).sum()


def test_at_the_beginning_the_loss_is_low() -> None:
    """Against a random queue an aligned pair is easy: 0.17 at tau = 0.07 for K = 65536 (code)."""
    q = unit(64, 128, seed=1)
    noise = unit(64, 128, seed=2)
    k = F.normalize(0.95 * q + math.sqrt(1 - 0.95**2) * noise, dim=1)
    loss, _ = info_nce(q, k, unit(65536, 128, seed=3), 0.07)
    assert 0.1 < loss < 0.3


def test_a_collapsed_encoder_has_chance_loss_and_no_hit() -> None:
    same = torch.ones(4, 8, dtype=torch.float64) / math.sqrt(8)
    loss, correct = info_nce(same, same, same[:1].expand(255, -1), 0.2)
    torch.testing.assert_close(loss.item(), math.log(256))
    assert correct == 0


def test_large_logits_do_not_overflow() -> None:
    q = unit(4, 8).float()
    loss, _ = info_nce(q, q, -q, 1e-3)
    assert torch.isfinite(loss)


def test_a_small_loss_has_as_exact_a_gradient_as_float32_allows() -> None:
    q, negatives = unit(8, 32, seed=1).requires_grad_(), unit(400, 32, seed=2)
    k = F.normalize(q.detach() + 0.05 * unit(8, 32, seed=3), dim=1)
    exact, _ = info_nce(q, k, negatives, 0.05)
    assert exact < 0.01
    (truth,) = torch.autograd.grad(exact, q)
    short = q.detach().float().requires_grad_()
    loss, _ = info_nce(short, k.float(), negatives.float(), 0.05)
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=0)
    error = torch.autograd.grad(loss, short)[0] - truth
    assert error.abs().max() < 1e-5 * truth.abs().max()


def test_negatives_may_change_before_the_backward_pass_and_the_loss_be_scaled() -> None:
    q, k, negatives = unit(4, 8, seed=1).requires_grad_(), unit(4, 8, seed=2), unit(20, 8, seed=3)
    (expected,) = torch.autograd.grad(info_nce(q, k, negatives, 0.2)[0], q)
    loss, _ = info_nce(q, k, negatives, 0.2)
    negatives.zero_()
    torch.testing.assert_close(torch.autograd.grad(1024 * loss, q)[0], 1024 * expected)
