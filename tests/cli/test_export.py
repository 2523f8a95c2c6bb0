"""`moco-harness export`: its exit codes, and that what it prints can be pasted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

SETS = [
    f"--set={each}"
    for each in (
        "model.backbone=resnet18",
        "optim.epochs=1",
        "data.images=32",
        "knn.queries=20",
        "linear=null",
    )
]


def test_from_the_command_that_runs_it_to_the_files(
    moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCO_HARNESS_DEVICE", "cpu")
    words = ("export", str(tiny), *SETS, "--format", "timm", "--to", "made")
    said = moco(*words)
    assert said.code == 4
    (command,) = re.findall(r"moco-harness (run .*)$", said.err, re.MULTILINE)
    assert moco(*shlex.split(command)).code == 0

    said = moco(*words)
    assert said.code == 0
    assert {path.name for path in Path("made").iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
    }
    (sha256,) = re.findall(r"[0-9a-f]{64}", said.out)
    assert sha256 in Path("made/README.md").read_text()
    assert moco(*words).code == 0
    Path("made/notes.txt").write_text("mine")
    assert moco(*words).code == 4
    assert moco("export", "tiny", "--format", "detectron2", "--head").code == 2
    assert moco("export", "tiny", "--format", "transformers", "--key").code == 0
    assert len(list(Path("runs/exports").iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nothing", "--format", "timm"), 4),
        (("nothing.yaml", "--format", "timm"), 2),
        (("tiny.yaml", "--format", "timm"), 4),
        (("tiny.yaml", "--format", "keras"), 2),
        (("tiny.yaml",), 2),
        (("tiny.yaml", "--format", "timm", "--to", ""), 2),
        (("tiny", "--format", "timm", "--set", "seed=1"), 2),
        (("runs", "--format", "timm", "--set", "seed=1"), 2),
    ],
    ids=str,
)
def test_mistakes(moco: Any, tiny: Path, words: tuple[str, ...], code: int) -> None:
    assert tiny.exists()
    said = moco("export", *words)
    assert said.code == code
    assert "Traceback" not in said.all
    assert not Path("runs").exists()
