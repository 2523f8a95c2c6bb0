"""A checkpoint is the state at its step, whatever is trained while it is written."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness.errors import DiskError
from harness.runtime import checkpoint
from harness.runtime.saver import Saver


@pytest.fixture
def saver() -> Iterator[Saver]:
    made = Saver()
    yield made
    made.close()


def kept(into: list[Any], gate: threading.Event | None = None) -> Any:
    """A writer that keeps what it is handed, once the gate is open."""

    def write(state: dict[str, Any]) -> None:
        assert gate is None or gate.wait(60)
        into.append({key: value.clone() for key, value in state.items()})

    return write


def test_what_is_written_is_the_state_when_it_was_saved(saver: Saver) -> None:
    weights, gate, found = torch.zeros(1000), threading.Event(), []  # type: ignore[var-annotated]
    saver.save({"weights": weights}, kept(found, gate))
    weights += 1  # as the next step does
    saver.check()
    assert found == []
    gate.set()
    saver.wait()
    assert not found[0]["weights"].any()


def test_one_is_written_at_a_time_and_their_memory_is_shared(saver: Saver) -> None:
    weights, running = torch.zeros(10), []  # type: ignore[var-annotated]
    found: list[tuple[float, int]] = []

    def write(state: dict[str, Any]) -> None:
        running.append(1)
        found.append((float(state["weights"][0]), state["weights"].data_ptr()))
        assert len(running) == 1
        running.clear()

    for step in range(20):
        weights.fill_(step)
        saver.save({"weights": weights}, write)
    saver.wait()
    assert [value for value, _ in found] == list(range(20))
    assert len({place for _, place in found}) == 1


@pytest.mark.parametrize("method", ["check", "wait", "save"])
def test_a_failed_write_is_raised_once(saver: Saver, method: str) -> None:
    ended = threading.Event()

    def fail(_: dict[str, Any]) -> None:
        ended.set()
        raise DiskError("the disk is full")

    saver.save({}, fail)
    assert ended.wait(60)
    with pytest.raises(DiskError, match="full"):  # noqa: PT012
        while True:  # `check` does not wait for the thread's last instant
            saver.save({}, fail) if method == "save" else getattr(saver, method)()
    saver.wait()


def test_closing_waits_and_keeps_quiet(saver: Saver) -> None:
    found: list[Any] = []
    saver.save({"weights": torch.ones(3)}, kept(found))
    saver.close()
    assert len(found) == 1

    def fail(_: dict[str, Any]) -> None:
        raise DiskError("the disk is full")

    saver.save({}, fail)
    saver.close()


def test_the_file_is_the_one_that_the_state_itself_would_make(saver: Saver, tmp_path: Path) -> None:
    shared = nn.Linear(3, 4)
    module = nn.ModuleDict({"query": shared, "key": shared, "conv": nn.Conv2d(8, 8, 3)})
    module.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module["conv"](torch.randn(1, 8, 5, 5)).sum().backward()
    sgd.step()
    state = {
        "mechanism": module.state_dict(),
        "optimiser": sgd.state_dict(),
        "losses": [0.5, 1.5],
        "none": None,
        "pair": (torch.tensor(3), torch.empty(0)),
    }
    assert isinstance(state["mechanism"], OrderedDict)
    direct, copied = tmp_path / "direct", tmp_path / "copied"
    for folder in (direct, copied):
        folder.mkdir()
    checkpoint.save(direct, 7, state, keep=1)
    saver.save(state, lambda made: checkpoint.save(copied, 7, made, keep=1))
    saver.wait()
    assert [p.name for p in copied.iterdir()] == [p.name for p in direct.iterdir()]


@pytest.mark.gpu
def test_a_gpu_goes_on_while_its_state_is_copied(saver: Saver) -> None:
    weights = torch.zeros(1 << 24, device="cuda")
    found: list[Any] = []
    for step in range(5):
        weights.fill_(step)
        saver.save({"weights": weights}, kept(found))
        for _ in range(100):
            weights += 1
    saver.wait()
    for step, state in enumerate(found):
        assert state["weights"].device.type == "cpu"
        assert bool((state["weights"] == step).all())
