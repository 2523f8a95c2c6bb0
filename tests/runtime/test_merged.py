from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from harness.runtime.merged import ALIGNED, Merged


def tensors() -> list[Tensor]:
    torch.manual_seed(0)
    kernel = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    return [kernel, torch.randn(()), torch.randn(ALIGNED), torch.randn(5, 7).T]


def test_each_keeps_its_values_shape_and_strides() -> None:
    before, after = tensors(), tensors()
    Merged(after)
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old, new)
        assert old.stride() == new.stride()


def test_what_changes_the_whole_changes_each() -> None:
    before, after = tensors(), tensors()
    merged = Merged(after)
    merged.whole.mul_(2)
    assert all(torch.equal(new, 2 * old) for old, new in zip(before, after, strict=True))
    after[0].zero_()
    assert merged.whole[: after[0].numel()].abs().max() == 0


def test_each_begins_where_an_allocator_would_put_it() -> None:
    merged = Merged(tensors())
    starts = [each.data_ptr() - merged.whole.data_ptr() for each in merged.tensors]
    assert starts == [4 * ALIGNED * place for place in (0, 1, 2, 3)]
    assert merged.whole[108:ALIGNED].abs().max() == 0


def test_views_of_another_lie_as_the_tensors_do() -> None:
    """Of a part of a larger tensor too, and in each tensor's own strides."""
    merged = Merged(tensors())
    other = torch.zeros(2 * len(merged.whole))[len(merged.whole) :]
    for view, tensor in zip(merged.views(other), merged.tensors, strict=True):
        assert view.stride() == tensor.stride()
        view.copy_(tensor)
    assert torch.equal(other, merged.whole)


def test_parameters_stay_parameters_that_learn() -> None:
    net = nn.Linear(3, 2)
    merged = Merged(net.parameters())
    x = torch.ones(1, 3)
    before = net(x).detach()
    merged.whole.add_(1)
    torch.testing.assert_close(net(x), before + 4)
    net(x).sum().backward()
    assert net.bias.grad is not None


def test_a_module_that_is_loaded_stays_merged() -> None:
    net, other = nn.Linear(3, 2), nn.Linear(3, 2)
    merged = Merged(net.parameters())
    net.load_state_dict(other.state_dict())
    assert torch.equal(merged.whole[:6].view(2, 3), other.weight)


def test_what_has_moved_is_seen() -> None:
    net = nn.Linear(3, 2)
    merged = Merged(net.parameters())
    assert merged.holds()
    net.double()
    assert not merged.holds()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_whole_is_of_the_tensors_type(dtype: torch.dtype) -> None:
    assert Merged([torch.ones(3, dtype=dtype)]).whole.dtype == dtype


def test_a_part_holds_some_tensors_that_follow_each_other() -> None:
    tensors = [torch.full((n,), float(n)) for n in (3, 200, 5)]
    merged = Merged(tensors)
    assert torch.equal(merged.part(tensors), merged.whole)
    part = merged.part(tensors[1:])
    assert part.shape == (merged.whole.shape[0] - ALIGNED,)
    part.zero_()
    assert [float(each.sum()) for each in tensors] == [9.0, 0.0, 0.0]
    with pytest.raises(AssertionError):
        merged.part([tensors[0], tensors[2]])
    with pytest.raises(ValueError, match="not in list"):
        merged.part([torch.zeros(3)])
