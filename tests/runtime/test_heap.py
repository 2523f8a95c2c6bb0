"""What malloc is told, seen from a process of its own: the settings last as long as it."""

import platform
import subprocess
import sys

import pytest

from harness.runtime.heap import keep_freed_memory

FAULTS = """
import resource, sys, torch
from harness.runtime.heap import keep_freed_memory
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
    found = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, how], capture_output=True, check=True
            ).stdout
        )
        for how in ("kept", "not")
    }
    pages = 10 * 2**26 // 4096
    assert found["kept"] < pages / 10
    assert found["not"] > pages / 2


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_the_users_own_settings_stand(name: str) -> None:
    assert not keep_freed_memory({name: "1"})
