"""Files of strangers: one line says what each is, nothing of theirs runs, torch says nothing."""

import argparse
import hashlib
import io
import json
import os
import pickle
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.errors import DataError
from harness.model.weights_file import read
from harness.recipe.schema import Weights


def saved(content: object, *, new: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


def script() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    return buffer.getvalue()


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, "x")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("weights.pth"))
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


class Evil:
    """What a pickle runs when it is opened carelessly."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("sprung",)


TENSORS = {"conv1.weight": torch.zeros(3)}
OPTIONS = {"state_dict": TENSORS, "args": argparse.Namespace(lr=0.03)}


def safe(header: bytes, size: int) -> bytes:
    """A file of safetensors with so many bytes behind the header."""
    return len(header).to_bytes(8, "little") + header + bytes(size)


SAFE = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'

STRANGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "options": (lambda: saved(OPTIONS), "argparse.Namespace"),
    "options, old format": (lambda: saved(OPTIONS, new=False), "argparse.Namespace"),
    "code": (lambda: saved({"state_dict": Evil()}), f"{os.name}.mkdir"),
    "a whole module": (lambda: saved(torch.nn.ReLU()), "torch.nn.modules.activation.ReLU"),
    "script": (script, "TorchScript"),
    "safetensors, cut": (lambda: safe(SAFE, 3), "safetensors file"),
    "safetensors, odd header": (lambda: safe(b"{]", 4), "safetensors file"),
    "safetensors, odd place": (lambda: safe(SAFE.replace(b"[0,4]", b"[-4,0]"), 8), "safetensors"),
    "safetensors, odd shape": (lambda: safe(SAFE.replace(b"[1]", b"[99]"), 8), "safetensors"),
    "zip": (lambda: zipped("read.me"), "zip archive"),
    "npz": (arrays, "NumPy"),
    "tar": (tarred, "tar archive"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(20), "gzip"),
    "page": (lambda: b"<html>\x1b[31m404</html>", "text"),
    "git-lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "empty": (lambda: b"", "empty"),
    "cut": (lambda: saved(TENSORS)[:-30], "truncated"),
    "cut, old format": (lambda: saved(TENSORS, new=False)[:60], "truncated"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_each_kind_of_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make, says = STRANGE[kind]
    content = make()
    Path("w").write_bytes(content)
    capfd.readouterr()
    given = Weights(file="w", sha256=hashlib.sha256(content).hexdigest())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError) as refused:
            read(Path("w"), given, "https://example.org")
    assert says in str(refused.value)
    assert str(refused.value).isprintable(), "one line, without escape codes"
    assert capfd.readouterr() == ("", "")
    assert not Path("sprung").exists()


LINEAR = torch.nn.Linear(2, 3)
ARRAYS = {"weight": np.zeros((3, 2), np.float32), "seen": np.int64(7), "name": "x"}

CONVERTIBLE: dict[str, bytes] = {
    "options": saved({"args": argparse.Namespace(lr=0.03), "state_dict": LINEAR.state_dict()}),
    "options, old format": saved(
        {"args": argparse.Namespace(lr=0.03), "model": LINEAR.state_dict()}, new=False
    ),
    "a module": saved(LINEAR),
    "a module, old format": saved(LINEAR, new=False),
    "a module under a name": saved({"epoch": 3, "state_dict": LINEAR}),
    "arrays": saved(ARRAYS),
    "arrays under a name": saved({"epoch": 3, "state_dict": ARRAYS}),
    "arrays, pickled": pickle.dumps({"model": ARRAYS, "args": argparse.Namespace()}),
}


@pytest.mark.parametrize("kind", CONVERTIBLE)
def test_the_conversion_that_is_told_can_be_run(tmp_path: Path, kind: str) -> None:
    """The statement is run as it is printed, and what it makes is read."""
    content = CONVERTIBLE[kind]
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(content)
    given = Weights(file="old", sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(DataError) as refused:
        read(old, given, "https://example.org")
    statement = "torch.save" + str(refused.value).partition("torch.save")[2]
    exec(statement, {"torch": torch, "pickle": pickle, "old": old, "new": new})
    made = Weights(file="new", md5=hashlib.md5(new.read_bytes()).hexdigest())
    assert read(new, made, "https://example.org")["weight"].shape == (3, 2)


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(DataError, match=r"model\.weights\.file"):
            read(path, Weights(file=path.name, md5="deadbeef"), "https://example.org")


@pytest.mark.parametrize("new", [True, False])
def test_tensors_are_read(tmp_path: Path, new: bool) -> None:
    for content, before in ((TENSORS, ""), ({"state_dict": TENSORS, "epoch": 3}, "state_dict.")):
        (tmp_path / "w").write_bytes(saved(content, new=new))
        digest = hashlib.md5((tmp_path / "w").read_bytes()).hexdigest()
        found = read(tmp_path / "w", Weights(file="w", md5=digest), "https://example.org")
        assert found.keys() == {before + name for name in TENSORS}


def test_safetensors_are_read(tmp_path: Path) -> None:
    """Of each kind, also where a tensor does not begin at a whole place of its own size."""
    tensors = {
        "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "bytes": torch.tensor([7], dtype=torch.uint8),
        "double": torch.tensor([[0.1], [0.2]], dtype=torch.float64),
        "brain": torch.tensor(3.0, dtype=torch.bfloat16),
        "none": torch.zeros(0, 4),
    }
    kinds = {"half": "F16", "bytes": "U8", "double": "F64", "brain": "BF16", "none": "F32"}
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, tensor in tensors.items():
        data = bytes(tensor.flatten().view(torch.uint8).tolist())
        place = [len(body), len(body) + len(data)]
        header[name] = {"dtype": kinds[name], "shape": [*tensor.shape], "data_offsets": place}
        body += data
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + body
    (tmp_path / "w").write_bytes(content)
    given = Weights(file="w", sha256=hashlib.sha256(content).hexdigest())
    found = read(tmp_path / "w", given, "https://example.org")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
