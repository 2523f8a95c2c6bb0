from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError
from harness.launch import staging

FOLDER = {"data": {"name": "imagefolder", "folder": "nets/small"}, "model": {"weights": None}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("nets/small/train/a/1.png", "nets/small/val/a/2.png", "nets/other/3.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    return tmp_path / "data"


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("data", "weights", "expected"),
    [
        ({"name": "embedded", "folder": None}, None, []),
        ({"name": "cifar10", "folder": None}, None, ["cifar-10-batches-py"]),
        ({"name": "stl10", "folder": None}, {"file": "w.pth"}, ["stl10_binary", "w.pth"]),
        ({"name": "imagefolder", "folder": "imagenet"}, None, ["imagenet"]),
    ],
)
def test_what_a_recipe_reads(data: dict[str, Any], weights: Any, expected: list[str]) -> None:
    assert staging.needed({"data": data, "model": {"weights": weights}}) == expected


def test_only_what_is_needed_is_copied_and_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "node"))
    (root / "w.pth").write_text("weights")
    recipe = {**FOLDER, "model": {"weights": {"file": "w.pth"}}}
    found = staging.stage(recipe, root, "$NODE_DISK/deep", first=True)
    assert found.parent == tmp_path / "node" / "deep"
    assert files(found) == {"nets/small/train/a/1.png", "nets/small/val/a/2.png", "w.pth"}
    assert (found / "w.pth").read_text() == "weights"
    monkeypatch.setattr(shutil, "copyfile", None)
    assert staging.stage(recipe, root, "${NODE_DISK}/deep", first=True) == found
    assert staging.stage(recipe, root, "$NODE_DISK/deep", first=False) == found
    assert list(found.parent.iterdir()) == [found], "no draft is left"


def test_a_changed_source_is_copied_anew(root: Path, tmp_path: Path) -> None:
    first = staging.stage(FOLDER, root, str(tmp_path / "node"), first=True)
    os.utime(root / "nets" / "small" / "train", (1, 1))
    second = staging.stage(FOLDER, root, str(tmp_path / "node"), first=True)
    assert first != second
    assert files(first) == files(second)


def test_what_is_not_there_is_not_copied(tmp_path: Path) -> None:
    assert staging.stage(FOLDER, tmp_path, str(tmp_path / "node"), first=True) == tmp_path
    assert not (tmp_path / "node").exists()


def test_the_others_wait_for_the_whole_of_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile, go = shutil.copyfile, threading.Event()

    def slow(*words: Any) -> Any:
        go.wait(30)
        return copyfile(*words)

    monkeypatch.setattr(shutil, "copyfile", slow)
    found: list[Path] = []

    def other() -> None:
        found.append(staging.stage(FOLDER, root, str(tmp_path / "node"), first=False))
        assert files(found[0]) == {"nets/small/train/a/1.png", "nets/small/val/a/2.png"}

    waiting = threading.Thread(target=other)
    copying = threading.Thread(
        target=staging.stage, args=(FOLDER, root, str(tmp_path / "node")), kwargs={"first": True}
    )
    waiting.start()
    copying.start()
    waiting.join(0.3)
    assert found == []
    go.set()
    copying.join(30)
    waiting.join(30)
    assert len(found) == 1


@pytest.mark.parametrize("local", ["$NOWHERE_TO_BE_FOUND/x", "relative/folder"])
def test_a_folder_that_is_none(root: Path, local: str) -> None:
    with pytest.raises(DataError, match="name a folder by its whole path"):
        staging.stage(FOLDER, root, local, first=True)


def test_a_full_disk_leaves_nothing(root: Path, mount: Any) -> None:
    disk = mount("size=64k")
    (root / "nets" / "small" / "train" / "a" / "large.png").write_bytes(bytes(200_000))
    with pytest.raises(DataError, match=r"could not be copied there \(No space left"):
        staging.stage(FOLDER, root, str(disk), first=True)
    assert list(disk.iterdir()) == []
