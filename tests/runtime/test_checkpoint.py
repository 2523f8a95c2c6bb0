from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.runtime import checkpoint

State = dict[str, Any]


def state(step: int) -> State:
    return {"step": step, "weights": torch.full((50,), float(step)), "figures": {"loss": 0.5}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoints"
    made.mkdir()
    return made


def put(folder: Path, step: int, content: bytes) -> Path:
    """A file whose name is true of its content, whatever that is."""
    path = folder / f"step-{step:08d}-{hashlib.sha256(content).hexdigest()[:12]}.pt"
    path.write_bytes(content)
    return path


def steps(folder: Path) -> list[int]:
    return [step for step, _ in checkpoint.listed(folder)]


def test_what_is_saved_is_restored(folder: Path) -> None:
    said: list[str] = []
    assert checkpoint.newest(folder, said.append) is None
    assert checkpoint.newest(folder / "none", said.append) is None
    for step in (0, 7, 100_000_000):
        path = checkpoint.save(folder, step, state(step), keep=5)
        found = checkpoint.newest(folder, said.append)
        assert found is not None
        assert found[0] == step
        assert torch.equal(found[1]["weights"], state(step)["weights"])
        assert checkpoint.read(path) is not None
    assert steps(folder) == [100_000_000, 7, 0]
    assert said == []


def test_the_same_state_is_the_same_file(folder: Path) -> None:
    one = checkpoint.save(folder, 3, state(3), keep=2)
    assert checkpoint.save(folder, 3, state(3), keep=2) == one
    assert steps(folder) == [3]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(folder: Path, keep: int) -> None:
    for step in range(0, 50, 10):
        checkpoint.save(folder, step, state(step), keep)
    assert steps(folder) == [40, 30, 20, 10, 0][:keep]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def empty(_: bytes) -> bytes:
    return b""


def longer(content: bytes) -> bytes:
    return content + b"\0"


@pytest.mark.parametrize("damage", [cut, flip, empty, longer])
def test_a_damaged_one_is_passed_over_and_told(
    folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    checkpoint.save(folder, 10, state(10), keep=2)
    newest = checkpoint.save(folder, 20, state(20), keep=2)
    newest.write_bytes(damage(newest.read_bytes()))
    said: list[str] = []
    found = checkpoint.newest(folder, said.append)
    assert found is not None
    assert (found[0], found[1]["step"]) == (10, 10)
    assert len(said) == 1
    assert str(newest) in said[0]
    assert "damaged" in said[0]


def test_if_all_are_damaged_there_is_none(folder: Path) -> None:
    for step in (10, 20):
        checkpoint.save(folder, step, state(step), keep=2).write_bytes(b"")
    said: list[str] = []
    assert checkpoint.newest(folder, said.append) is None
    assert len(said) == 2


def test_damaged_ones_do_not_crowd_out_whole_ones(folder: Path) -> None:
    for step in (100, 200):
        checkpoint.save(folder, step, state(step), keep=2).write_bytes(b"")
    for step in (0, 10, 20):
        path = checkpoint.save(folder, step, state(step), keep=2)
        assert path.exists()
    assert steps(folder) == [20, 10]


def test_a_draft_of_a_life_that_was_killed_goes(folder: Path) -> None:
    draft = folder / ".step-00000010-0123456789ab.pt.deadbeef.tmp"
    draft.write_bytes(b"half")
    other = folder / "notes.txt"
    other.touch()
    assert steps(folder) == []
    checkpoint.save(folder, 10, state(10), keep=2)
    assert not draft.exists()
    assert other.exists()


@pytest.mark.parametrize(
    "name",
    ["step-00000010.pt", "step-10-0123456789ab.pt", "step-00000010-0123456789AB.pt",
     "step-00000010-0123456789ab.pt.bak", "step-0000001x-0123456789ab.pt", "model.pt"],
)  # fmt: skip
def test_another_name_is_no_checkpoint(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    assert steps(folder) == []
    assert checkpoint.read(folder / name) is None


def test_a_right_content_under_a_wrong_digest_is_refused(folder: Path) -> None:
    path = checkpoint.save(folder, 10, state(10), keep=2)
    assert checkpoint.read(path.rename(folder / "step-00000010-0123456789ab.pt")) is None


class Trap:
    """Its unpickling makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True, None])
def test_code_is_refused_and_not_run(folder: Path, tmp_path: Path, legacy: bool | None) -> None:
    trap = {"step": 10, "weights": Trap(tmp_path / "sprung")}
    buffer = io.BytesIO()
    if legacy is None:
        pickle.dump(trap, buffer, protocol=2)
    else:
        torch.save(trap, buffer, _use_new_zipfile_serialization=not legacy)
    checkpoint.save(folder, 5, state(5), keep=2)
    path = put(folder, 10, buffer.getvalue())
    with pytest.raises(StoreError, match=r"torch .* cannot load it") as caught:
        checkpoint.newest(folder, print)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "sprung").exists()
    if legacy is None:
        pickle.loads(buffer.getvalue())
    else:
        torch.load(path, weights_only=False)
    assert (tmp_path / "sprung").exists(), "the trap would have sprung"


@pytest.mark.parametrize("value", [[1, 2], 3, None, torch.zeros(2)])
def test_what_is_not_a_state_is_refused(folder: Path, value: Any) -> None:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with pytest.raises(StoreError, match="not a checkpoint"):
        checkpoint.read(put(folder, 1, buffer.getvalue()))


def test_what_cannot_be_read_now_is_not_taken_for_damaged(folder: Path) -> None:
    checkpoint.save(folder, 5, state(5), keep=2)
    (folder / "step-00000010-0123456789ab.pt").mkdir()  # as an input or output error would
    with pytest.raises(StoreError, match="step-00000010"):
        checkpoint.newest(folder, print)


def test_a_file_that_vanishes_meanwhile_is_passed_over(folder: Path) -> None:
    assert checkpoint.read(folder / "step-00000010-0123456789ab.pt") is None


ZIP = io.BytesIO()
torch.save({"a": 1}, ZIP)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.binary(max_size=60)
    | st.binary(max_size=40).map(lambda tail: b"\x80\x02" + tail)
    | st.tuples(st.integers(0, len(ZIP.getvalue()) - 1), st.integers(0, 255)).map(
        lambda at: ZIP.getvalue()[: at[0]] + bytes([at[1]]) + ZIP.getvalue()[at[0] + 1 :]
    )
)
def test_no_content_is_another_error(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, 1, content)
    try:
        assert isinstance(checkpoint.read(path), dict)
    except StoreError as error:
        said = str(error)
    else:
        said = str(path)
    assert str(path) in said


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_failed_write_leaves_the_older_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    for step in (10, 20):
        checkpoint.save(folder, step, state(step), keep=2)

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match=r"step-00000030"):
        checkpoint.save(folder, 30, state(30), keep=2)
    assert steps(folder) == [20, 10]
    assert not list(folder.glob(".*"))


def test_a_failed_purge_does_not_stop_the_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(folder, 10, state(10), keep=1)

    def fail(_: Path, missing_ok: bool = False) -> None:
        raise PermissionError(missing_ok)

    monkeypatch.setattr(Path, "unlink", fail)
    checkpoint.save(folder, 20, state(20), keep=1)
    assert steps(folder) == [20, 10]


def test_a_full_disk(mount: Any) -> None:
    disk = mount("size=256k")
    said: list[str] = []
    checkpoint.save(disk, 10, state(10), keep=2)
    with pytest.raises(StoreError, match="the disk is full"):
        checkpoint.save(disk, 20, {"weights": torch.zeros(100_000)}, keep=2)
    found = checkpoint.newest(disk, said.append)
    assert found is not None
    assert (found[0], said) == (10, [])
    assert len(list(disk.iterdir())) == 1


@pytest.mark.gpu
def test_a_gpus_state_is_read_on_the_cpu(folder: Path) -> None:
    path = checkpoint.save(folder, 1, {"weights": torch.ones(3, device="cuda")}, keep=2)
    found = checkpoint.read(path)
    assert found is not None
    assert found["weights"].device.type == "cpu"
