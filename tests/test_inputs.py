"""Inputs: what changed since a result was made is told with both fingerprints, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import imagefolder, input_notes, inputs
from harness.inputs import Inputs
from harness.recipe.schema import Data, Weights
from harness.store.layout import StageFolder
from harness.store.ledger import Entry
from harness.store.stale import why_changed, why_stale
from harness.store.version import STAGE

FOLDER = Data(name="imagefolder", folder="pets", size=16)
WEIGHTS = Weights(file="w.pth", sha256="0" * 8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with an image folder: what is in its files is of no matter here."""
    made = tmp_path / "data"
    for part, count in (("train", 3), ("val", 1)):
        for name in ("cat", "dog"):
            inside = made / "pets" / part / name
            inside.mkdir(parents=True)
            for n in range(count):
                (inside / f"{n}.jpg").write_bytes(f"{part} {name} {n}".encode())
    (made / "w.pth").write_bytes(b"weights")
    return made


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times count at once, as if they were old."""
    monkeypatch.setattr(input_notes, "SETTLED_NS", 0)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def made_from(root: Path, runs: Path, data: Data = FOLDER) -> dict[str, Any]:
    """A result of the inputs as they are now."""
    here = Inputs(root, runs)
    found = {"data": here.data(data), "weights": here.weights(WEIGHTS)}
    said = {what: each for what, each in found.items() if each is not None}
    return {"state": "finished", "edition": "aaa", "inputs": json.loads(json.dumps(said))}


def why(result: dict[str, Any], root: Path | None, runs: Path) -> str:
    """What the one judge says of it."""
    described = {"schema": STAGE, "id": "a-s0.knn-0"}
    entry = Entry(StageFolder(runs / "a-s0.knn-0"), "finished", "", result, described)
    check_input = Inputs(root, runs)
    said = why_stale(entry, None, "aaa", {}, check_input)
    assert said == why_changed(entry, check_input)
    return said


PARTS = ("train", "val")
Change = Callable[[Path], object]


def replaced(path: Path, content: bytes) -> None:
    """In place: its folder's time stays."""
    path.write_bytes(content)
    os.utime(path, (2e9, 2e9))


HARMLESS: dict[str, Change] = {
    "nothing": lambda _: None,
    "a time": lambda p: os.utime(p / "train/cat/0.jpg"),
    "a folder's time": lambda p: os.utime(p / "train/cat"),
    "a hidden file": lambda p: (p / "train/cat/.x.jpg").write_bytes(b"x"),
    "a hidden folder": lambda p: (p / "train/.cache").mkdir(),
    "no image": lambda p: (p / "train/cat/notes.txt").write_bytes(b"x"),
    "a file beside": lambda p: (p / "spare.jpg").write_bytes(b"x"),
    "written anew": lambda p: replaced(p / "val/dog/0.jpg", b"val dog 0"),
    "a link to the same": lambda p: linked(p),
}

CHANGES: dict[str, Change] = {
    "one more": lambda p: shutil.copy(p / "val/cat/0.jpg", p / "train/cat/new.jpg"),
    "one less": lambda p: (p / "train/cat/0.jpg").unlink(),
    "another name": lambda p: (p / "train/cat/0.jpg").rename(p / "train/cat/9.jpg"),
    "another class": lambda p: (p / "train/cat/0.jpg").rename(p / "train/dog/9.jpg"),
    "a class's name": lambda p: [(p / part / "dog").rename(p / part / "eel") for part in PARTS],
    "one more class": lambda p: shutil.copytree(p / "train/cat", p / "train/eel"),
    "one class less": lambda p: shutil.rmtree(p / "train/dog"),
    "val": lambda p: shutil.copy(p / "val/cat/0.jpg", p / "val/dog/new.jpg"),
    "no val": lambda p: shutil.rmtree(p / "val"),
    "what is left out": lambda p: (p / "broken.txt").write_text("train/cat/0.jpg\n"),
    "a folder below": lambda p: shutil.copytree(p / "val/cat", p / "train/cat/more"),
}


def linked(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


@pytest.mark.parametrize("few", [20_000, 2], ids=["small", "large"])
@pytest.mark.parametrize("name", HARMLESS)
def test_what_changes_no_data(
    name: str, few: int, root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "FEW", few)
    result = made_from(root, runs)
    HARMLESS[name](root / "pets")
    assert why(result, root, runs) == ""


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "not noted"])
@pytest.mark.parametrize("few", [20_000, 2], ids=["small", "large"])
@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_names(
    name: str, few: int, noted: bool, root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "FEW", few)
    result = made_from(root, runs)
    if not noted:
        shutil.rmtree(runs / ".inputs")
    CHANGES[name](root / "pets")
    now = made_from(root, runs / "nowhere")["inputs"]["data"]
    then = result["inputs"]["data"]
    said = why(result, root, runs)
    assert said.startswith("of other data than pets contains now")
    assert f"{then['fingerprint']} of 8 images then" in said
    assert f"{now['fingerprint']} of {now['images']} images now" in said
    assert then["fingerprint"] != now["fingerprint"]
    assert why(result, root, runs) == said, "by what was noted, too"


def test_of_few_files_each_is_looked_at(root: Path, runs: Path) -> None:
    result = made_from(root, runs)
    then = result["inputs"]["data"]
    replaced(root / "pets/train/cat/0.jpg", b"longer than it was")
    assert then["fingerprint"] in why(result, root, runs)
    replaced(root / "pets/train/cat/0.jpg", b"TRAIN CAT 0")
    said = why(result, root, runs)
    assert "names and sizes" not in said
    assert f"contents {then['contents']}" in said
    replaced(root / "pets/train/cat/0.jpg", b"train cat 0")
    assert why(result, root, runs) == ""


def test_the_content_of_heavy_files_is_not_read(
    root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "LIGHT", 10)
    result = made_from(root, runs)
    replaced(root / "pets/train/cat/0.jpg", b"TRAIN CAT 0")
    assert why(result, root, runs) == ""
    replaced(root / "pets/train/cat/0.jpg", b"longer than it was")
    assert "names and sizes" in why(result, root, runs)


@pytest.mark.usefixtures("settled")
def test_of_many_files_only_what_changed_is_walked(
    root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is overwritten in place is seen by the next stage that opens the data, not by a
    plan: no folder's time tells of it."""
    monkeypatch.setattr(inputs, "FEW", 2)
    result = made_from(root, runs)
    walked: list[str] = []
    images_of = imagefolder._Walker.images_of

    def watched(self: Any, name: str, *more: Any) -> Any:
        walked.append(f"{self.path.name}/{name}")
        return images_of(self, name, *more)

    monkeypatch.setattr(imagefolder._Walker, "images_of", watched)
    replaced(root / "pets/train/cat/0.jpg", b"longer than it was")
    assert why(result, root, runs) == ""
    assert walked == []
    (root / "pets/val/dog/new.jpg").write_bytes(b"new")
    assert why(result, root, runs) != ""
    assert walked == ["val/dog"]
    (root / "pets/val/dog/new.jpg").unlink()
    made_from(root, runs)
    assert why(result, root, runs) != "", "the stage has looked at each file"


def test_a_time_that_is_young_is_not_relied_on(
    root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that changed twice within a tick has one time for both."""
    monkeypatch.setattr(inputs, "FEW", 2)
    folder = root / "pets/train/cat"
    os.utime(folder)
    before = folder.stat().st_mtime_ns
    result = made_from(root, runs)
    (folder / "new.jpg").write_bytes(b"new")
    os.utime(folder, ns=(before, before))
    assert why(result, root, runs) != ""


@pytest.mark.usefixtures("settled")
def test_a_look_that_takes_too_long_goes_on_next_time(
    root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "FEW", 2)
    result = made_from(root, runs)
    shutil.rmtree(runs / ".inputs")
    (root / "pets/train/cat/0.jpg").unlink()
    told = []
    for _ in range(6):
        moments = iter([0.0, 1.0, *[9.0] * 20])  # there is time for one class
        monkeypatch.setattr(time, "monotonic", lambda moments=moments: next(moments))
        check_input = Inputs(root, runs, limit_s=5)
        found = check_input("data", result["inputs"]["data"])
        told.append(found is not None)
        assert check_input.unfinished == ([] if found else [str(root / "pets")])
    assert told == [False, False, False, True, True, True]
    assert "of 7 images now" in why(result, root, runs)


def test_what_is_done_between_two_looks_takes_none_of_their_time(
    root: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = made_from(root, runs)
    (root / "pets/train/cat/0.jpg").unlink()
    check_input = Inputs(root, runs, limit_s=5)
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + 3600)
    assert check_input("weights", result["inputs"]["weights"]) is not None
    monkeypatch.setattr(time, "monotonic", lambda: began + 7200)
    assert check_input("data", result["inputs"]["data"]) is not None
    assert check_input.unfinished == []


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("name", ["w.pth", "pets/train/cat/0.jpg"])
def test_a_file_put_in_its_place_with_its_size_and_time(root: Path, runs: Path, name: str) -> None:
    result = made_from(root, runs)
    path = root / name
    before, content = path.stat(), path.read_bytes()
    path.write_bytes(content.upper())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert why(result, root, runs) != ""
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert why(result, root, runs) == ""


def test_data_that_moved_are_the_same(root: Path, runs: Path, tmp_path: Path) -> None:
    result = made_from(root, runs)
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    assert why(result, moved, runs) == ""
    (moved / "pets/val/dog/0.jpg").unlink()
    assert why(result, root, runs) == ""
    assert why(result, moved, runs) != ""
    shutil.rmtree(moved)
    assert why(result, moved, runs) == "", "where it was read it is as it was"
    (root / "pets/val/dog/0.jpg").unlink()
    assert why(result, moved, runs) != "", "nor has anybody to say where the data lie"
    assert why(result, None, runs) != ""


def test_a_link_that_leads_elsewhere(root: Path, runs: Path) -> None:
    shutil.copytree(root / "pets", root / "other", copy_function=shutil.copy2)
    linked(root / "pets")
    result = made_from(root, runs)
    (root / "other/val/dog/0.jpg").write_bytes(b"longer than it was")
    assert why(result, root, runs) == ""
    (root / "pets").unlink()
    (root / "pets").symlink_to("other")
    assert why(result, root, runs) != ""


def test_what_is_not_at_hand_is_not_known(root: Path, runs: Path, tmp_path: Path) -> None:
    result = made_from(root, runs)
    shutil.rmtree(root)
    for place in (root, tmp_path / "nowhere", None):
        assert why(result, place, runs) == ""
    (root / "pets").mkdir(parents=True)
    assert why(result, root, runs) == "", "an empty folder, as where a disk is not mounted"


@pytest.mark.parametrize(
    "said",
    [
        None, {}, [], "x", {"data": None}, {"data": {}}, {"data": []}, {"weights": {"name": 3}},
        {"data": {"name": "pets"}}, {"data": {"name": "pets", "images": "9", "fingerprint": 0}},
        {"data": {"name": "pets\0", "path": "/\0", "fingerprint": "x"}},
        {"weights": {"name": "pets", "path": "/dev/zero", "sha256": "x"}},
        {"data": {"path": "/dev", "of": "set", "fingerprint": "x"}},
    ],
)  # fmt: skip
def test_a_record_without_a_fingerprint_is_not_stale(said: Any, root: Path, runs: Path) -> None:
    result: dict[str, Any] = {"state": "finished", "edition": "aaa", "inputs": said}
    assert why(result, root, runs) == ""
    assert why({"state": "finished", "edition": "aaa"}, root, runs) == ""


def test_given_weights(root: Path, runs: Path, tmp_path: Path) -> None:
    result = made_from(root, runs)
    then = result["inputs"]["weights"]["sha256"]
    os.utime(root / "w.pth")
    assert why(result, root, runs) == ""
    replaced(root / "w.pth", b"WEIGHTS")
    now = made_from(root, runs)["inputs"]["weights"]["sha256"]
    said = why(result, root, runs)
    assert (
        said == f"of other weights than w.pth contains now (sha256 {then[:12]} then, "
        f"{now[:12]} now)"
    )
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "w.pth").write_bytes(b"weights")
    assert why(result, moved, runs) == ""
    (root / "w.pth").unlink()
    assert why(result, root, runs) == ""


def test_notes_may_be_missing_damaged_or_unwritable(root: Path, runs: Path) -> None:
    result = made_from(root, runs)
    (note, *_) = (runs / ".inputs").iterdir()
    for content in (b"", b"[]", b'{"place": 1}', b"\xff", b'{"files": 3}'):
        note.write_bytes(content)
        assert why(result, root, runs) == ""
    for note in (runs / ".inputs").iterdir():
        place = json.loads(note.read_bytes())["place"]
        note.write_text(json.dumps({"place": place, "files": [], "classes": {"x": 1}, "file": {}}))
    assert why(result, root, runs) == ""
    shutil.rmtree(runs)
    assert why(result, root, runs) == ""
    assert not runs.exists(), "a look makes no run root"


def test_a_run_root_that_cannot_be_written(root: Path, mount: Callable[..., Path]) -> None:
    runs = mount("size=1m")
    result = made_from(root, runs)
    shutil.rmtree(runs / ".inputs")
    mount("ro")
    assert why(result, root, runs) == ""
    (root / "pets/val/dog/0.jpg").unlink()
    assert why(result, root, runs) != ""
    assert list(runs.iterdir()) == []


@pytest.mark.usefixtures("settled")
def test_test_images_from_elsewhere_are_inputs_too(root: Path, runs: Path) -> None:
    (root / "other" / "cat").mkdir(parents=True)
    (root / "other" / "cat" / "0.jpg").write_bytes(b"1")
    data = FOLDER.model_copy(update={"test": "other"})
    result = made_from(root, runs, data)
    result["inputs"]["test_data"] = Inputs(root, runs).test_data(data)
    entry = Entry(StageFolder(runs / "x"), "finished", result=result)
    assert why_changed(entry, Inputs(root, runs)) == ""
    (root / "other" / "cat" / "1.jpg").write_bytes(b"1")
    assert why_changed(entry, Inputs(root, runs)).startswith("of other test data than other")
