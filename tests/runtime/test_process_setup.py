"""Settings of a process. Those of malloc are seen from another one, as they last as long as it."""

import ctypes
import os
import platform
from pathlib import Path
from types import SimpleNamespace

import forked
import pytest
import torch

from harness.runtime import process_setup as module
from harness.runtime.process_setup import keep_freed_memory, set_up_process

FAULTS = """
import resource, torch
from harness.runtime.process_setup import keep_freed_memory
if how == "kept":
    assert keep_freed_memory({})
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**24)
before = faults()
for _ in range(10):
    torch.ones(2**24)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone can be told so")
@pytest.mark.skipif(
    any("MALLOC" in name or name == "GLIBC_TUNABLES" for name in os.environ),
    reason="malloc has settings of the user",
)
def test_a_tensor_takes_the_pages_of_the_one_before(tmp_path: Path) -> None:
    faults = {}
    for how in ("kept", "not"):
        process = forked.start(exec, FAULTS, {"how": how}, said=tmp_path / how)
        process.join()
        assert process.exitcode == 0, (tmp_path / how).read_text()
        faults[how] = int((tmp_path / how).read_text())
    assert faults["kept"] * 10 < faults["not"]


@pytest.mark.parametrize(
    "own", [{"MALLOC_TRIM_THRESHOLD_": "1"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1"}]
)
def test_the_users_own_settings_stand(own: dict[str, str]) -> None:
    assert not keep_freed_memory(own)


@pytest.mark.parametrize("library", [SimpleNamespace(), SimpleNamespace(mallopt=lambda *_: 0)])
def test_another_malloc_is_left_alone(
    library: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert not keep_freed_memory({})


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
