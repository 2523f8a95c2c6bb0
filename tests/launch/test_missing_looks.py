"""A stage that was killed right after its result shows the same as one that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from look.test_after import run as run_whole
from stage.tiny import run as run_without_look
from stage.tiny import write
from stage.together import Notes

import harness
from harness.launch.missing_looks import keep_missing, lacks_look, missing_looks
from harness.launch.slurm.job import StageJob
from harness.plan import Plan, make_plan
from harness.site import Site
from harness.store.layout import StageFolder, stage_folder
from harness.store.ledger import read_entry
from harness.store.look import FILE

SETS = ("linear=null",)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write(tmp_path)


def site(runs: Path) -> Site:
    return Site(Path("/nonexistent"), runs, "cpu", 1, 0.0)


def shown(folder: StageFolder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder.path)): path.read_bytes()
        for path in folder.path.rglob("look*/**/*")
        if path.is_file()
    } | {FILE: (folder.path / FILE).read_bytes()}


HALF_WRITTEN = (".look.json.0a1b2c3d.tmp", "look/.albums-1.png.0a1b2c3d.tmp")


def planned(recipe: Path, runs: Path) -> Plan:
    return make_plan(recipe, SETS, runs)


def test_a_second_run_makes_what_is_missing(recipe: Path, tmp_path: Path) -> None:
    whole = run_whole(recipe, tmp_path / "whole")
    runs = tmp_path / "killed"
    killed = run_without_look(recipe, runs, SETS)
    notes, drafts = Notes(), [killed["knn"].path / name for name in HALF_WRITTEN]
    for draft in drafts:
        draft.parent.mkdir(exist_ok=True)
        draft.write_bytes(b"half")
    assert [each.folder.id for each in missing_looks(planned(recipe, runs))] == [
        killed[kind].id for kind in ("pretrain", "knn")
    ]
    harness.app.run(recipe, site(runs), sets=SETS)
    for kind in ("pretrain", "knn"):
        assert shown(killed[kind]) == shown(whole[kind])
    assert not any(draft.exists() for draft in drafts)
    assert missing_looks(planned(recipe, runs)) == []
    keep_missing(planned(recipe, runs), site(runs), notes, lambda: False)
    assert notes.told == []


def test_a_requeued_job_makes_what_is_missing(recipe: Path, tmp_path: Path) -> None:
    folders = run_without_look(recipe, tmp_path / "runs", SETS)
    code = str(Path(harness.__file__).parent.parent)
    assert StageJob(str(folders["knn"].path), "/nonexistent", "cpu", code)() == "finished"
    assert (folders["knn"].path / FILE).exists()
    assert not (folders["pretrain"].path / FILE).exists(), "a job of its own"


def test_nothing_is_missing_where_nothing_can_be_shown(recipe: Path, tmp_path: Path) -> None:
    off = run_without_look(recipe, tmp_path / "off", (*SETS, "watch.look=false"))
    untrained = run_without_look(recipe, tmp_path / "untrained", (*SETS, "optim.epochs=0"))
    assert [lacks_look(read_entry(each)) for each in off.values()] == [False, False]
    found = {kind: lacks_look(read_entry(each)) for kind, each in untrained.items()}
    assert found == {"pretrain": False, "knn": True}
    for path in untrained["pretrain"].checkpoints.iterdir():
        path.unlink()
    assert not lacks_look(read_entry(untrained["knn"])), "its checkpoint was removed"


def test_one_note_for_each_reason(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, notes = tmp_path / "runs", Notes()
    run_without_look(recipe, runs, SETS)

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("harness.look.after.open_data", broken)
    keep_missing(planned(recipe, runs), site(runs), notes, lambda: False)
    (told,) = notes.told
    assert "the disk is gone" in told
    assert stage_folder(runs, planned(recipe, runs).stages[1].id).result is not None
