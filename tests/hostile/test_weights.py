"""Checkpoints and released weights from strangers: refused with words, and no code of theirs runs.

Two kinds of cases: a file whose bytes are damaged, and a whole file of torch's that says something
else than a stage would write.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.model.encoder import Encoder, build
from harness.model.released import load_released
from harness.recipe.schema import Model, Weights
from harness.runtime import checkpoint
from harness.stage.context import fitting
from harness.store.layout import StageFolder
from hostile.cases import cases
from hostile.mutate import damaged

STRANGE: tuple[Any, ...] = (
    None, True, -1, 0, 3.5, float("nan"), "", "x", [], {}, [1], {"a": 1}, b"", (), set(),
    torch.zeros(0), torch.zeros(3), torch.full((16,), float("nan")),
    torch.zeros(2, 2, dtype=torch.int8), torch.zeros(4, dtype=torch.complex64),
    torch.zeros(5, device="meta"), 10**400,
)  # fmt: skip


def tiny_state() -> dict[str, Any]:
    """What a stage's checkpoint is made of, small."""
    layer = torch.nn.Linear(3, 2)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    return {
        "stage": "x", "step": 7, "data": "f1a9", "processes": 1, "mechanism": layer.state_dict(),
        "optimiser": optimiser.state_dict(), "losses": [1.0], "knn": None,
    }  # fmt: skip


def saved(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def put(folder: Path, content: bytes, step: int = 7) -> Path:
    """A checkpoint whose name is true of its content, whatever that is."""
    path = folder / f"step-{step:08d}-{hashlib.sha256(content).hexdigest()[:12]}.pt"
    path.write_bytes(content)
    return path


@st.composite
def changed(draw: st.DrawFn, value: Any, depth: int = 0) -> Any:
    """A copy with something else somewhere in it."""
    if not isinstance(value, dict) or not value or depth > 3 or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(STRANGE))
    copy = dict(value)
    key = draw(st.sampled_from(list(copy)))
    how = draw(st.integers(0, 5))
    if how == 0:
        del copy[key]
    elif how == 1:
        copy[draw(st.sampled_from(("", "more", 3)))] = copy[key]
    else:
        copy[key] = draw(changed(copy[key], depth + 1))
    return copy


WHOLE = tiny_state()


@cases(100)
@given(content=damaged(saved(WHOLE)))
def test_damaged_checkpoints(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Damage under the old name is passed over; under a true name it is refused with words."""
    folder = tmp_path_factory.mktemp("c")
    whole = put(folder, saved(WHOLE))
    if content != whole.read_bytes():
        whole.write_bytes(content)
        assert checkpoint.newest(folder, lambda _: None) is None
    whole.unlink()
    path = put(folder, content)
    with contextlib.suppress(HarnessError):
        found = checkpoint.read(path)
        assert isinstance(found, dict)


@cases(100)
@given(state=changed(WHOLE))
def test_whole_checkpoints_of_something_else(
    tmp_path_factory: pytest.TempPathFactory, state: Any
) -> None:
    folder = tmp_path_factory.mktemp("c")
    layer = torch.nn.Linear(3, 2)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    put(folder, saved(state))
    with contextlib.suppress(HarnessError):
        found = checkpoint.newest(folder, lambda _: None)
        assert found is not None
        with fitting(StageFolder(folder)):
            layer.load_state_dict(found[1]["mechanism"])
            optimiser.load_state_dict(found[1]["optimiser"])


def encoder() -> Encoder:
    return build(Model.model_validate({"backbone": "miniature", "bn_group": 2}), 0)


NAMED = {
    "module.encoder_q." + name.replace("backbone.", "").replace("head.", "fc."): tensor
    for name, tensor in encoder().state_dict().items()
}
RELEASED = {"state_dict": NAMED, "epoch": 200, "arch": "resnet50"}


@cases(100)
@given(data=st.data())
def test_released_weights(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    root = tmp_path_factory.mktemp("w")
    if data.draw(st.booleans()):
        content = data.draw(damaged(saved(RELEASED)))
    else:
        content = saved(data.draw(changed(RELEASED)))
    (root / "w").write_bytes(content)
    given_ = Weights(file="w", sha256=hashlib.sha256(content).hexdigest())
    target = encoder()
    with contextlib.suppress(HarnessError):
        load_released(target, given_, root, head=data.draw(st.booleans()), source="here")
        for name, tensor in target.state_dict().items():
            assert torch.isfinite(tensor.double()).all(), name


class Trap:
    """Its unpickling makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def traps(path: Path) -> dict[str, bytes]:
    """Files that make the folder when a careless reader opens them."""
    trap = Trap(path)
    found = {f"pickle {n}": pickle.dumps(trap, protocol=n) for n in range(2, 6)}
    found["torch"] = saved({"stage": trap})
    buffer = io.BytesIO()
    torch.save(trap, buffer, _use_new_zipfile_serialization=False)
    found["old torch"] = buffer.getvalue()
    swapped = io.BytesIO()  # a whole file of torch's whose pickle is another
    with zipfile.ZipFile(io.BytesIO(saved(WHOLE))) as old, zipfile.ZipFile(swapped, "w") as new:
        for name in old.namelist():
            evil = name.endswith("data.pkl")
            new.writestr(name, pickle.dumps(trap, protocol=2) if evil else old.read(name))
    found["swapped"] = swapped.getvalue()
    module = torch.jit.script(torch.nn.Linear(2, 2))
    script = io.BytesIO()
    torch.jit.save(module, script)
    found["script"] = script.getvalue()
    return found


def test_untouched_they_are_read(tmp_path: Path) -> None:
    """Else the cases above would prove nothing."""
    assert checkpoint.read(put(tmp_path, saved(WHOLE))) is not None
    (tmp_path / "w").write_bytes(saved(RELEASED))
    given_ = Weights(file="w", sha256=hashlib.sha256((tmp_path / "w").read_bytes()).hexdigest())
    load_released(encoder(), given_, tmp_path, head=True, source="here")


def test_no_code_of_theirs_runs(tmp_path: Path) -> None:
    """And torch says nothing of it by itself."""
    mark = tmp_path / "pwned"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = traps(mark)
    pickle.loads(files["pickle 4"])
    assert mark.exists(), "the trap is one"
    mark.rmdir()
    for content in files.values():
        path = put(tmp_path, content)
        with pytest.raises(HarnessError, match=r"cannot load it|not a checkpoint") as refused:
            checkpoint.read(path)
        assert str(refused.value).isprintable()
        given_ = Weights(file=path.name, sha256=hashlib.sha256(content).hexdigest())
        with pytest.raises(HarnessError, match=r"tensors only|no ResNet"):
            load_released(encoder(), given_, tmp_path, head=False, source="here")
        assert not mark.exists()
