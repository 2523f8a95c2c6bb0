"""What every test may rely on: one thread, no W&B, nobody's settings, and a disk that can fill."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drawn import _each_figure_is_drawn_once, drawn_anew  # noqa: F401
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
# As commands set it: idle threads that spin take the cores from the other tests' processes.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ["WANDB_MODE"] = "disabled"

settings.register_profile("suite", deadline=None)  # the cores may be shared
settings.load_profile("suite")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: the tests wait for processes for a third of their time."""
    return 1 + (len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


@pytest.fixture(autouse=True)
def _nobodys_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No test sees the user's site file, data cache or HARNESS variables."""
    for name in list(os.environ):
        if name.startswith(("MOCO_HARNESS_", "SLURM_")):
            monkeypatch.delenv(name)
    empty = tmp_path_factory.getbasetemp() / "nobody"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(empty / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(empty / "cache"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none; torch is not loaded to learn that of no test."""
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    if not torch.cuda.is_available():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """mount("size=64k"): a disk of its own, or again with other options; skips without the right"""
    place = tmp_path / "disk"
    mounted = False

    def put(options: str) -> Path:
        nonlocal mounted
        place.mkdir(exist_ok=True)
        again = "remount," if mounted else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", str(place)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("a tmpfs cannot be mounted here: it takes root")
        mounted = True
        return place

    yield put
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)
