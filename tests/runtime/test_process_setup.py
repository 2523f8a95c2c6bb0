"""What a process settles, by device."""

import pytest
import torch

from harness.runtime import process_setup as module
from harness.runtime.process_setup import set_up_process


@pytest.mark.parametrize(("device", "heap"), [("cpu", ["heap"]), ("cuda", [])])
def test_memory_is_kept_on_a_cpu_alone(
    device: str, heap: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    for name in ("make_deterministic", "keep_cores", "keep_freed_memory"):
        word = name.rpartition("_")[2].replace("memory", "heap")
        monkeypatch.setattr(module, name, lambda word=word: called.append(word))
    set_up_process(torch.device(device))
    assert called == ["deterministic", "cores", *heap]
