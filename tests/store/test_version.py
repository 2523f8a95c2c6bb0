"""A run root that a newer harness has used too: what it wrote is refused, and left as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import WrittenByNewer
from harness.store import atomic, garbage, ledger, submission, version
from harness.store.attempt import begin
from harness.store.layout import StageFolder
from harness.store.submission import Array
from harness.track import mirror_state


def change(path: Path, **values: Any) -> bytes:
    atomic.write_json(path, values | {**json.loads(path.read_text()), **values})
    return path.read_bytes()


@pytest.mark.parametrize("schema", [version.STAGE, version.STAGE - 1, None, "9", "absent"])
def test_what_is_not_newer_is_read(folder: StageFolder, schema: Any) -> None:
    if schema != "absent":
        change(folder.path / "stage.json", schema=schema)
    assert (folder.described or {})["id"] == folder.id


def test_steps_lead_an_older_record_here_and_leave_the_file(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = change(folder.path / "stage.json", schema=version.STAGE - 2, sort="pretrain")
    steps = {
        version.STAGE - 2: lambda r: {k: v for k, v in r.items() if k != "sort"} | {"a": r["sort"]},
        version.STAGE - 1: lambda r: {**r, "b": r["a"]},
    }
    monkeypatch.setattr(version, "STEPS", steps)
    described = folder.described or {}
    assert (described["schema"], described["b"]) == (version.STAGE, "pretrain")
    assert "sort" not in described
    assert (folder.path / "stage.json").read_bytes() == before
    del steps[version.STAGE - 1]  # a step is missing: as far as they lead
    assert (folder.described or {})["schema"] == version.STAGE - 1


def test_a_newer_stage_is_refused_and_untouched(folder: StageFolder) -> None:
    path = folder.path / "stage.json"
    newer = change(path, schema=version.STAGE + 1)
    says = (
        rf"stage\.json: written by a newer moco-harness \(schema {version.STAGE + 1}; this "
        rf"version reads up to {version.STAGE}\); upgrade"
    )
    with pytest.raises(WrittenByNewer, match=says):
        _ = folder.described
    with pytest.raises(WrittenByNewer):
        folder.create({"schema": version.STAGE, "id": folder.id})
    assert path.read_bytes() == newer


@pytest.mark.parametrize("done", [False, True])
def test_a_newer_stage_is_never_taken_for_a_result(folder: StageFolder, done: bool) -> None:
    attempt = begin(folder)
    attempt.end("failed", "it broke")
    if done:
        result = {"state": "finished", "step": 1, "values": {"knn/top1": 80.0}, "message": ""}
        atomic.write_json(folder.path / "result.json", result)
    runs = folder.path.parent
    (before,) = ledger.everything(runs)
    assert before.state == ("finished" if done else "failed")
    change(folder.path / "stage.json", schema=version.STAGE + 1)
    for entry in (ledger.read_entry(folder), *ledger.everything(runs)):
        assert (entry.state, entry.result) == ("damaged", None)
        assert "written by a newer moco-harness" in entry.detail
    assert list(garbage.find(runs, set(), set())) == []


def test_a_newer_submission_is_refused(tmp_path: Path) -> None:
    """To move it away, as one that is damaged, would forget its jobs."""
    made = submission.new(
        submission.new_id(),
        on="slurm",
        recipe="recipes/tiny.yaml",
        sets=[],
        name="tiny",
        code="",
        arrays=[Array("moco-x-0", "pretrain", ("p0",))],
    )
    submission.write(tmp_path, made)
    change(tmp_path / "submissions" / f"{made.id}.json", schema=submission.SCHEMA + 1, more=1)
    with pytest.raises(WrittenByNewer, match=r"newer moco-harness .* upgrade"):
        submission.everything(tmp_path)


def test_a_newer_cursor_is_refused(folder: StageFolder) -> None:
    atomic.write_json(folder.path / "wandb.json", {"schema": mirror_state.SCHEMA + 1})
    with pytest.raises(WrittenByNewer):
        mirror_state.stored_state(folder, "wandb")
