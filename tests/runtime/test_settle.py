"""What a process settles, by device."""

import pytest
import torch

from harness.runtime import settle as module
from harness.runtime.settle import settle


@pytest.mark.parametrize(("device", "heap"), [("cpu", ["heap"]), ("cuda", [])])
def test_memory_is_kept_on_a_cpu_alone(
    device: str, heap: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    for name in ("make_deterministic", "keep_cores", "keep_freed_memory"):
        word = name.rpartition("_")[2].replace("memory", "heap")
        monkeypatch.setattr(module, name, lambda word=word: called.append(word))
    settle(torch.device(device))
    assert called == ["deterministic", "cores", *heap]
