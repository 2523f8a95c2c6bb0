from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.spec.declarations import Metric
from harness.spec.registry import metrics
from harness.store import layout
from harness.store.layout import StageFolder, may_be_shown, stage_folder, why_impossible


def test_a_stage_that_was_never_begun(tmp_path: Path) -> None:
    folder = stage_folder(tmp_path / "none", "tiny-s0.knn-0123456789")
    assert (folder.id, folder.result, folder.described) == ("tiny-s0.knn-0123456789", None, None)
    assert folder.attempts() == []


def test_creating_again_touches_nothing(folder: StageFolder) -> None:
    described = folder.described
    assert described is not None
    before = (folder.path / "stage.json").stat().st_mtime_ns
    folder.create(described)
    assert (folder.path / "stage.json").stat().st_mtime_ns == before


def test_what_the_id_does_not_cover_follows_the_recipe(folder: StageFolder) -> None:
    changed = {**(folder.described or {}), "recipe": {"watch": {"keep": 9}}}
    folder.create(changed)
    assert folder.described == changed


def test_attempts_in_order_of_their_numbers(folder: StageFolder) -> None:
    for name in ("0002", "0010", "9999", "10000", "0001", "x", "0003.old", ".nfs0001"):
        (folder.path / "attempts" / name).mkdir()
    names = [path.name for path in folder.attempts()]
    assert names == ["0001", "0002", "0010", "9999", "10000"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '"finished"', "{}", '{"state": "finished", "values": null}']
)
def test_a_damaged_result_is_named(folder: StageFolder, text: str) -> None:
    (folder.path / "result.json").write_text(text)
    with pytest.raises(StoreError, match=r"result\.json"):
        _ = folder.result


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_damaged_description_is_named_and_kept(folder: StageFolder, text: str) -> None:
    path = folder.path / "stage.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=r"stage\.json"):
        folder.create({"id": folder.id})
    assert path.read_text() == text


def test_what_was_set_aside_can_be_put_back(folder: StageFolder) -> None:
    described = folder.described
    assert described is not None
    (folder.path / "result.json").write_text('{"state": "finished"}')
    aside = folder.set_aside()
    folder.put_back(aside)
    assert folder.result == {"state": "finished"}
    assert not aside.exists()
    aside = folder.set_aside()
    folder.create({**described, "name": "new"})
    folder.put_back(aside)
    assert (folder.result, folder.described) == ({"state": "finished"}, described)
    aside = folder.set_aside()
    folder.create(described)
    (folder.path / "attempts" / "0001").mkdir()
    folder.put_back(aside)
    assert (folder.result, len(folder.attempts())) == (None, 1), "what was begun stays"
    assert aside.exists()


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(StoreError, match="a folder is needed"):
        stage_folder(tmp_path / "runs", "tiny").create({})


def test_every_declared_accuracy_is_a_percentage() -> None:
    every = [each for each in metrics().values() if each.unit == "%" and each.better == "higher"]
    names = [each.name for each in every if each.axis == "epoch"]
    assert {"knn/top1", "svm/map", "svm/ap", "detection/class_ap"} <= set(names)
    for name in (*names, *(f"{name}@k2" for name in names)):
        assert why_impossible(name, 100.5)
        assert why_impossible(name, -0.5)
        assert not why_impossible(name, 100)
        assert not may_be_shown(name, float("nan"))


def test_what_is_no_accuracy_may_exceed_a_hundred() -> None:
    for name in ("train/loss", "few_shot/half_width_over_draws", "logistic/c", "other/number"):
        assert not why_impossible(name, 100.5)
    assert why_impossible("of_a_package_that_is_gone/top1", 100.5)


def test_the_declaration_decides_what_a_reported_metric_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = {
        "own/mean": Metric("own/mean", "points", "epoch", "mean", least=0.0),
        "own/top1": Metric("own/top1", "hits", "epoch", "hits of 1,000", most=1_000.0),
        "own/watched": Metric("own/watched", "1", "epoch", "cosine", least=-1.0, most=1.0),
    }
    monkeypatch.setattr(layout, "declared", own.get)
    monkeypatch.setattr(layout, "task_of", lambda: dict.fromkeys(("own/mean", "own/top1"), "own"))
    assert "at least 0" in why_impossible("own/mean", -3.0)
    assert why_impossible("own/mean", 300.0) == ""
    assert why_impossible("own/top1", 250.0) == ""
    assert why_impossible("own/top1", 1_001.0)
    assert why_impossible("own/watched", 1.0000001) == "", "rounded; no result"


def test_an_older_folder_set_aside_may_be_deleted(folder: StageFolder) -> None:
    """To free space; the numbers of those that stay are not used again."""
    first, second = (set_aside_again(folder) for _ in range(2))
    shutil.rmtree(first)
    third = set_aside_again(folder)
    assert second.exists()
    assert third.name.endswith("~3")


def set_aside_again(folder: StageFolder) -> Path:
    folder.create({"schema": 1, "id": folder.id})
    return folder.set_aside()
