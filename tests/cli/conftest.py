"""`moco-harness` as a user meets it: in this process, or as one of its own."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from launch.world import CONFIG, World

from cli.fake_slurm import SBATCH, SCALE, SITE, SQUEUE
from cli.tiny import TINY, Process, Said
from harness.cli import main

Moco = Callable[..., Said]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    if (datasets := sys.modules.get("harness.data.datasets")) is not None:
        datasets.open_data.cache_clear()  # what lay under another test's relative paths
    made = tmp_path / "place"
    made.mkdir()
    monkeypatch.chdir(made)
    monkeypatch.setenv("COLUMNS", "200")
    return made


@pytest.fixture(autouse=True)
def _deterministic_only_here() -> Iterator[None]:
    """Runs in this process ask torch for deterministic algorithms."""
    before = torch.are_deterministic_algorithms_enabled()
    yield
    if torch.are_deterministic_algorithms_enabled() != before:  # setting it loads much of torch
        torch.use_deterministic_algorithms(before)


@pytest.fixture
def tiny(place: Path) -> Path:
    """A recipe that takes a second."""
    (place / "tiny.yaml").write_text(TINY)
    return Path("tiny.yaml")


@pytest.fixture
def moco(place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Moco:
    """moco("plan", path): the command, in this process. No command ends in a traceback."""
    assert place.exists()

    def call(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["moco-harness", *map(str, words)])
        capfd.readouterr()
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        else:
            code = 0
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Said(code, out, err)

    return call


Once = Callable[[Callable[[], object]], None]


@pytest.fixture(scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "runs"


@pytest.fixture
def once(place: Path, _kept: Path) -> Once:
    """once(fill): fill() makes ./runs for the first test of a module, and the others get a copy."""

    def copied(fill: Callable[[], object]) -> None:
        if _kept.exists():
            shutil.copytree(_kept, place / "runs", symlinks=True)
        else:
            fill()
            shutil.copytree(place / "runs", _kept, symlinks=True)

    return copied


Spawn = Callable[..., Process]


@pytest.fixture
def spawn(place: Path, tmp_path: Path) -> Iterator[Spawn]:
    """spawn("run", path): the command as a process, which does not outlive the test."""
    assert place.exists()
    processes: list[Process] = []

    def begin(*words: object) -> Process:
        said = tmp_path / f"said-{len(processes)}.txt"
        processes.append(Process([str(word) for word in words], said))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()


@pytest.fixture
def site(place: Path, tiny: Path) -> Path:
    """A cluster's site file, and an ablation recipe beside it."""
    assert tiny.exists()
    path = place / "site.yaml"
    path.write_text(SITE)
    (place / "scale.yaml").write_text(SCALE)
    return path


@pytest.fixture
def slurm(place: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SLURM that accepts everything, and starts nothing: jobs/ has the scripts."""
    site.write_text(re.sub("max_array: 3", "max_array: 4", SITE))
    for name in ("bin", "jobs", "records"):
        (place / name).mkdir()
    config = "#!/bin/sh\necho 'ClusterName = here'\n"
    clients = {"sbatch": SBATCH, "srun": "", "squeue": SQUEUE, "sacct": "", "scontrol": config}
    for name, text in clients.items():
        path = place / "bin" / name
        path.write_text(text or "#!/bin/sh\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(place / "bin"), prepend=os.pathsep)
    return site


@pytest.fixture
def world(place: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A run root ./runs, and a SLURM whose answers the test writes."""
    made = World(place)
    for client in ("squeue", "sacct", "scancel"):
        made.says(client)
    made.says("scontrol", CONFIG)
    monkeypatch.setenv("PATH", str(made.bin), prepend=os.pathsep)
    return made
