"""A stage whose records are not its own: `plan`, `status`, `report` and `check` say alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Once
from harness.store import version

TARGET = (
    "about: {targets: [{metric: knn/top1, value: 0, tolerance: 0, minimum: true, source: me}]}\n"
)


@pytest.fixture
def done(moco: Any, tiny: Path, once: Once) -> Path:
    """A recipe that has been run."""
    text = tiny.read_text().replace("epochs: 2", "epochs: 1")
    tiny.write_text(text.replace("knn_epochs: 0", "knn_epochs: 1") + TARGET)

    def run() -> None:
        assert moco("check", tiny, "--run").code == 0

    once(run)
    return tiny


def records(kind: str = "*") -> list[Path]:
    return sorted(Path("runs").glob(f"tiny-s0.{kind}-*/stage.json"))


def change(kind: str = "*", **values: Any) -> None:
    for path in records(kind):
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}, indent=2))


def said(moco: Any, recipe: Path) -> dict[str, str]:
    """What each command says, whitespace made one."""
    moco("report", recipe, "--out", "out")
    return {
        "plan": moco("plan", recipe).all,
        "status": moco("status").all,
        "check": moco("check", recipe).all,
        "report": next(Path("out").rglob("report.md")).read_text(),
    }


def test_a_version_that_no_step_migrates_is_stale_in_all_and_run_anew(
    moco: Any, done: Path
) -> None:
    change(schema=0)
    for command, text in said(moco, done).items():
        assert "of schema version 0" in text, command
        assert "stale" in text.lower(), command
    assert moco("check", done).code == 6
    again = moco("check", done, "--run")
    assert again.code == 0, again.all
    aside = sorted(Path("runs/aside").glob("*/stage.json"))
    assert len(aside) == len(records()) > 1
    assert {json.loads(path.read_text())["schema"] for path in aside} == {0}
    for command, text in said(moco, done).items():
        assert "schema version" not in text, command


def test_a_version_that_a_step_migrates_counts_in_all(
    moco: Any, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in records():
        older = json.loads(path.read_text())
        older |= {"schema": 0, "sort": older.pop("kind")}
        path.write_text(json.dumps(older, indent=2))
    before = [path.read_bytes() for path in records()]

    def step(record: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in record.items() if k != "sort"} | {"kind": record["sort"]}

    monkeypatch.setitem(version.STEPS, 0, step)
    for command, text in said(moco, done).items():
        assert "schema version" not in text, command
        assert "stale" not in text.lower(), command
    assert moco("check", done).code == 0
    assert moco("check", done, "--run").idle
    assert [path.read_bytes() for path in records()] == before


def test_other_settings_than_the_name_says_are_stale_and_run_anew(moco: Any, done: Path) -> None:
    (path,) = records("knn")
    recipe = json.loads(path.read_text())["recipe"]
    change("knn", recipe={**recipe, "knn": {**recipe["knn"], "k": [7]}})
    for command, text in said(moco, done).items():
        # what the status looks at is only what the stage's name is the hash of
        word = "tiny-s0.knn-" if command == "status" else "knn.k [7]"
        assert word in text.replace("\\", ""), command
        assert "stale" in text.lower(), command
    assert moco("check", done, "--run").code == 0
    assert "knn.k [7]" not in "".join(said(moco, done).values())


def test_other_weights_than_the_pre_training_has_are_stale(moco: Any, done: Path) -> None:
    (path,) = Path("runs").glob("tiny-s0.knn-*/result.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "weights": "0" * 12}))
    for command, text in said(moco, done).items():
        assert "of weights that differ" in text, command
        assert "stale" in text.lower(), command
    before = path.parent / "stage.json"
    before.write_text(before.read_text().replace('"parent": "tiny', '"parent": "other'))
    assert 'its record has the parent "other' in moco("status").out


def test_other_counts_of_images_are_stale_and_run_anew(moco: Any, done: Path) -> None:
    (folder,) = Path("runs").glob("tiny-s0.knn-*")
    for path in (folder / "result.json", folder / "attempts" / "0001" / "attempt.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "data": {**record["data"], "test": 1000}}))
    for command, text in said(moco, done).items():
        assert "of data that differs from its pre-training" in text, command
    assert moco("check", done, "--run").code == 0
