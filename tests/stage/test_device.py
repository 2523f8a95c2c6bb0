from __future__ import annotations

import pytest
import torch

from harness.errors import HarnessError
from harness.runtime.environment import Placement
from harness.stage.execute import own_device, pick_device, refuse_absent


@pytest.mark.parametrize(
    ("wanted", "size", "local_size", "local_rank", "found"),
    [
        ("cpu", 4, 4, 3, "cpu"),
        ("cuda", 1, 1, 0, "cuda"),
        ("cuda:1", 1, 1, 0, "cuda:1"),
        ("cuda", 4, 4, 3, "cuda:3"),
        ("cuda:1", 4, 4, 0, "cuda:0"),
        ("cuda:1", 4, 4, 3, "cuda:3"),
        ("cuda", 2, 1, 0, "cuda:0"),
        ("cuda:1", 2, 1, 0, "cuda:1"),
    ],
)
def test_each_process_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    size: int,
    local_size: int,
    local_rank: int,
    found: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    place = Placement(local_rank, size, local_rank, local_size, "n1", 1234, "torchrun")
    assert own_device(wanted, place) == torch.device(found)


@pytest.mark.parametrize(
    ("wanted", "there", "says"),
    [("cuda", 0, "cpu"), ("cuda:0", 0, "cpu"), ("cuda:2", 2, "cuda:1"), ("cuda:1", 2, ""),
     ("cuda", 1, ""), ("cpu", 0, "")],
)  # fmt: skip
def test_a_gpu_that_is_not_there_is_told_in_our_words(
    monkeypatch: pytest.MonkeyPatch, wanted: str, there: int, says: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    if not says:
        refuse_absent(wanted)
        return
    for refuse in (refuse_absent, pick_device):
        with pytest.raises(HarnessError, match=f"--device {wanted}: ") as told:
            refuse(wanted)
        assert says in str(told.value)
        assert "driver" not in str(told.value)
        assert "http" not in str(told.value)


def test_one_of_several_without_a_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    def zeros(*_: object, device: object) -> None:
        raise RuntimeError(f"no driver for {device}")

    monkeypatch.setattr(torch, "zeros", zeros)
    place = Placement(1, 2, 1, 2, "n1", 1234, "torchrun")
    with pytest.raises(HarnessError, match="--device cuda: no driver for cuda:0"):
        pick_device("cuda", place)
