"""A stage computes on the CPU with the threads of its first attempt; a new one, with its run's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.launch.threads import recorded, use_threads, usual
from harness.runtime.environment import resolve
from harness.store import operating_system
from harness.store.layout import StageFolder

ALONE = resolve({})
PAIR = resolve({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
                "MASTER_ADDR": "localhost", "MASTER_PORT": "1"})  # fmt: skip


@pytest.fixture(autouse=True)
def before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def stage(runs: Path, name: str, *attempts: Any, parent: str | None = None) -> StageFolder:
    folder = StageFolder(runs / name)
    folder.path.mkdir(parents=True)
    (folder.path / "stage.json").write_text(json.dumps({"id": name, "parent": parent}))
    for number, said in enumerate(attempts, 1):
        path = folder.path / "attempts" / f"{number:04}"
        path.mkdir(parents=True)
        (path / "attempt.json").write_text(said if isinstance(said, str) else json.dumps(said))
    return folder


def on_cpu(threads: object, processes: int = 1) -> dict[str, Any]:
    return {"machine": {"device": "cpu", "threads": threads}, "processes": processes}


def on_gpu() -> dict[str, Any]:
    return {"machine": {"device": "NVIDIA H100", "threads": 64}, "processes": 1}


def test_the_first_attempt_counts_not_the_last(tmp_path: Path) -> None:
    assert recorded(stage(tmp_path, "a", on_cpu(3), on_cpu(1)), 1) == 3


def test_a_new_stage_takes_its_parents(tmp_path: Path) -> None:
    stage(tmp_path, "pretrain-0123456789ab", on_cpu(3))
    assert recorded(stage(tmp_path, "knn", parent="pretrain-0123456789ab"), 1) == 3


@pytest.mark.parametrize(
    "attempt",
    [on_gpu(), on_cpu(3, 2), on_cpu("3"), on_cpu(-1), on_cpu(None), {"machine": 3}, [], "{"],
)  # fmt: skip
def test_what_says_nothing_of_this_computer_is_no_record(tmp_path: Path, attempt: Any) -> None:
    assert recorded(stage(tmp_path, "a", attempt), 1) == 0


def test_an_attempt_that_never_described_itself_is_passed_over(tmp_path: Path) -> None:
    folder = stage(tmp_path, "a", {}, on_cpu(2))
    (folder.path / "attempts/0001/attempt.json").unlink()
    assert recorded(folder, 1) == 2


def test_the_stages_of_a_plan_share_one_number(tmp_path: Path) -> None:
    folders = [
        stage(tmp_path, "a"),
        stage(tmp_path, "b", on_cpu(5)),
        stage(tmp_path, "c", on_cpu(2)),
    ]
    assert usual(folders, 1) == 5
    assert usual(folders, 4) == usual([], 1) == 0


def test_the_record_counts_more_than_the_environment_and_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    use_threads(ALONE, "cpu", stage(tmp_path, "a", on_cpu(3)), usual=2)
    assert torch.get_num_threads() == 3
    use_threads(ALONE, "cpu", stage(tmp_path, "b"), usual=2)
    assert torch.get_num_threads() == 2


def test_beside_a_gpu_the_record_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    use_threads(ALONE, "cuda", stage(tmp_path, "a", on_cpu(3)), usual=2)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("placement", "threads"), [(ALONE, 6), (PAIR, 3)])
def test_without_a_record_the_processes_share_the_cores(
    placement: Any, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(operating_system, "cores", lambda: 6)
    use_threads(placement, "cpu", stage(tmp_path, "a"))
    assert torch.get_num_threads() == threads
