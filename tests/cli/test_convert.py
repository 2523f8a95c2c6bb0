"""`moco-harness convert`: its exit codes, and that a recipe can begin with what it prints."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from harness.recipe.schema import Weights


def test_from_the_pickle_to_lines_of_a_recipe(moco: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.model.msra.network", dict)  # tests/model has the whole network
    monkeypatch.setattr("harness.model.msra.safetensors.encoded", lambda *_: b"made")
    Path("R-50.pkl").write_bytes(pickle.dumps({"conv1_w": np.zeros(3, dtype=np.float32)}))
    words = ("convert", "R-50.pkl", "--to", "weights/msra.safetensors")
    said = moco(*words)
    assert said.code == 0
    assert Path("weights/msra.safetensors").read_bytes() == b"made"
    lines = yaml.safe_load(said.out.partition("\n")[2])["model"]
    assert lines["layout"] == "msra"
    found = Weights.model_validate(lines["weights"])
    assert (found.file, found.prefix) == (str(Path("weights/msra.safetensors").absolute()), "msra")
    assert moco(*words).code == 0
    Path("weights/msra.safetensors").write_bytes(b"mine")
    assert moco(*words).code == 4
    assert Path("weights/msra.safetensors").read_bytes() == b"mine"


def test_another_networks_names_are_not_enough(moco: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.model.msra.network", dict)
    monkeypatch.setattr("harness.model.msra.safetensors.encoded", lambda *_: b"made")
    weights = {"stem.conv1.weight": np.zeros(3, dtype=np.float32)}
    for author, code in (("torchvision", 3), ("Caffe2", 0)):
        Path("R-50.pkl").write_bytes(pickle.dumps({"model": weights, "__author__": author}))
        assert moco("convert", "R-50.pkl", "--to", f"{author}.safetensors").code == code
        assert Path(f"{author}.safetensors").exists() == (code == 0)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nothing.pkl", "--to", "new"), 3),
        ((".", "--to", "new"), 3),
        (("bad.pkl", "--to", "new"), 3),
        (("bad.pkl",), 2),
        (("bad.pkl", "--to", ""), 2),
    ],
    ids=str,
)
def test_mistakes(moco: Any, words: tuple[str, ...], code: int) -> None:
    Path("bad.pkl").write_bytes(b"cposix\nsystem\n(S'touch ran'\ntR.")
    said = moco("convert", *words)
    assert said.code == code
    assert "Traceback" not in said.all
    assert {path.name for path in Path().iterdir()} == {"bad.pkl"}
