"""Seen from a process of its own: how many cores a thread has lasts as long as it."""

import os
import subprocess
import sys

HELPED = """
import os, torch
from harness.runtime.cores import helpers, keep_cores
if not os.fork():
    print(torch.get_num_threads(), flush=True)
    os._exit(0)
os.wait()
keep_cores()
with helpers(2, "decode") as pool:
    said = list(pool.map(lambda _: torch.get_num_threads(), range(8)))
    torch.ones(2**20).exp()
    print(torch.get_num_threads(), *said)
"""


def test_helpers_compute_on_one_core_and_the_training_thread_on_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELPED],
        env=os.environ | {"OMP_NUM_THREADS": "3"},
        capture_output=True,
        check=True,
        text=True,
    )
    plain, *helped = done.stdout.split()
    assert helped == [plain, *["1"] * 8]
