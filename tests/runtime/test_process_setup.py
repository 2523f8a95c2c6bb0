"""Settings of a process. Those of malloc are seen from another one, as they last as long as it."""

import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from harness.runtime import process_setup as module
from harness.runtime.process_setup import keep_freed_memory, set_up_process

FAULTS = """
import resource, sys, torch
from harness.runtime.process_setup import keep_freed_memory
if sys.argv[1] == "kept":
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
def test_a_tensor_takes_the_pages_of_the_one_before() -> None:
    own = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    own.pop("GLIBC_TUNABLES", None)
    kept, given_back = (
        int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, how], env=own, capture_output=True, check=True
            ).stdout
        )
        for how in ("kept", "not")
    )
    assert kept * 10 < given_back


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
