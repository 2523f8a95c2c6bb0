from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.data_roots import joined
from harness.errors import DataError, Unreadable
from harness.launch.signals import StopFlag
from harness.launch.slurm import staging
from harness.launch.slurm.job import StageJob
from harness.store import liveness
from harness.store.layout import StageFolder

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


def test_the_data_of_tasks_are_read_too() -> None:
    own = {"name": "cifar10", "folder": None}
    tasks = {"a": {"data": own}, "b": {"data": None}, "c": {"data": own}}
    recipe = {"data": {"name": "pictures", "folder": "photos"}, "model": {}, "tasks": tasks}
    assert staging.needed(recipe) == ["photos", "cifar-10-batches-py"]


def stage(
    root: Path,
    local: object,
    *,
    recipe: Any = FOLDER,
    first: bool = True,
    stopping: Callable[[], bool] = lambda: False,
) -> Path:
    found = staging.stage(recipe, root, str(local), first=first, stopping=stopping)
    assert isinstance(found, Path)
    return found


def test_only_what_is_needed_is_copied_and_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "node"))
    (root / "w.pth").write_text("weights")
    recipe = {**FOLDER, "model": {"weights": {"file": "w.pth"}}}
    found = stage(root, "$NODE_DISK/deep", recipe=recipe)
    assert found.parent == tmp_path / "node" / "deep"
    assert files(found) == {"nets/small/train/a/1.png", "nets/small/val/a/2.png", "w.pth"}
    assert (found / "w.pth").read_text() == "weights"
    monkeypatch.setattr(staging, "_copy", None)
    assert stage(root, "${NODE_DISK}/deep", recipe=recipe) == found
    assert stage(root, "$NODE_DISK/deep", recipe=recipe, first=False) == found
    assert files(found.parent) - {f"{found.name}/{name}" for name in files(found)} == {
        path.name for path in found.parent.glob(".moco-harness-job-*")
    }, "no draft is left"


def test_a_copy_of_which_files_were_removed_is_not_used(root: Path, tmp_path: Path) -> None:
    first = stage(root, tmp_path / "node")
    whole = files(first)
    (first / "nets/small/train/a/1.png").unlink()
    second = stage(root, tmp_path / "node")
    assert (second != first, files(second)) == (True, whole)
    assert first.exists(), "another job may still read it"
    shutil.rmtree(first)
    assert stage(root, tmp_path / "node") == second
    (second / "nets/small/train/a/1.png").rename(second / "nets/small/train/a/2.png")
    assert files(stage(root, tmp_path / "node")) == whole


@pytest.mark.parametrize("place", ["absolute", "above"])
def test_a_file_outside_of_the_root_is_neither_copied_nor_overwritten(
    root: Path, tmp_path: Path, place: str
) -> None:
    weights = tmp_path / "w.pth"
    weights.write_text("weights")
    named = str(weights) if place == "absolute" else "../w.pth"
    found = stage(root, tmp_path / "node", recipe={**FOLDER, "model": {"weights": {"file": named}}})
    assert files(found) == {"nets/small/train/a/1.png", "nets/small/val/a/2.png"}
    assert weights.read_text() == "weights"


def test_large_files_are_whole(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "CHUNK", 3)
    (root / "nets/small/train/empty.png").touch()
    found = stage(root, tmp_path / "node")
    for name in files(root / "nets/small"):
        copy = found / "nets/small" / name
        assert copy.read_bytes() == (root / "nets/small" / name).read_bytes()


@pytest.mark.parametrize("change", ["content", "time", "new", "gone"])
def test_a_source_that_is_changed_deep_inside_is_copied_anew(
    root: Path, tmp_path: Path, change: str
) -> None:
    before = stage(root, tmp_path / "node")
    image = root / "nets/small/train/a/1.png"
    stat = image.stat()
    if change == "content":  # in place: no folder is the wiser
        image.write_text("another image")
        os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif change == "time":
        os.utime(image, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    elif change == "new":
        (image.parent / "new.png").touch()
    else:
        image.unlink()
    assert stage(root, tmp_path / "node", first=True) != before


def test_what_is_not_there_is_read_from_the_root_or_downloaded_to_it(tmp_path: Path) -> None:
    (tmp_path / "w.pth").touch()
    recipe = {"data": {"name": "cifar10", "folder": None}, "model": {"weights": {"file": "w.pth"}}}
    for each in (FOLDER, recipe):
        assert stage(tmp_path, tmp_path / "node", recipe=each) == tmp_path
    assert not (tmp_path / "node").exists()


class Gate:
    """Copying, held up until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()
        self.copied: list[Path] = []
        monkeypatch.setattr(staging, "_copy", self._copy)

    def _copy(self, source: Path, target: Path, over: threading.Event) -> None:
        self.reached.set()
        while not self.opened.wait(0.01):
            if over.is_set():
                return
        self.copied.append(source)
        target.write_bytes(source.read_bytes())


def begin(work: Callable[[], Any]) -> Callable[[], Any]:
    """Do it beside this; call what is returned for its outcome."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()

    def end() -> Any:
        thread.join(120)
        return found[0]

    return end


def test_the_others_wait_for_the_whole_of_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    other = begin(lambda: files(stage(root, tmp_path / "node", first=False)))
    first = begin(lambda: stage(root, tmp_path / "node"))
    assert gate.reached.wait(120)
    gate.opened.set()
    assert other() == files(first()) == {"nets/small/train/a/1.png", "nets/small/val/a/2.png"}


def test_two_jobs_make_one_copy(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    first = begin(lambda: stage(root, tmp_path / "node"))
    assert gate.reached.wait(120)
    waits = threading.Event()

    def waiting() -> bool:
        waits.set()
        return False

    second = begin(lambda: stage(root, tmp_path / "node", stopping=waiting))
    assert waits.wait(120)
    gate.opened.set()
    assert first() == second()
    assert len(gate.copied) == 2, "of two files"


def test_a_copy_that_is_named_while_a_job_looks_for_one_is_used(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, listed = tmp_path / "node", Path.glob
    others = iter([lambda: stage(root, node)])  # one other job makes and names a copy

    def late(path: Path, pattern: str) -> Any:
        found = [*listed(path, pattern)]
        if pattern.startswith(staging.NAME):
            next(others, Path)()
        return iter(found)

    monkeypatch.setattr(Path, "glob", late)
    assert [stage(root, node)] == [*listed(node, f"{staging.NAME}*")]


def dead(draft: Path) -> None:
    """Make it the draft of a process that was killed."""
    who = {**liveness.identity(), "pid": 2**22 + 1}
    draft.mkdir(parents=True, exist_ok=True)
    (draft / "alive.json").write_text(json.dumps(who))


def test_a_signal_ends_a_copy_and_the_next_removes_it(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "node"
    gate = Gate(monkeypatch)
    asked = gate.reached.is_set
    assert staging.stage(FOLDER, root, str(node), first=True, stopping=asked) is None
    (draft,) = node.iterdir()
    assert draft.name.startswith(f".{staging.NAME}")
    assert staging.stage(FOLDER, root, str(node), first=False, stopping=asked) is None
    gate.opened.set()
    dead(draft)
    whole = stage(root, node)
    assert len(files(whole)) == 2
    assert list(node.glob(f".{staging.NAME}*")) == []


def test_only_drafts_of_the_dead_are_removed(root: Path, tmp_path: Path) -> None:
    node = tmp_path / "node"
    drafts = [node / f".{staging.NAME}{name}.0" for name in ("dead", "alive", "begun")]
    for draft in drafts:
        (draft / "data" / "a").mkdir(parents=True)
        (draft / "data" / "a" / "1.png").touch()
    dead(drafts[0])
    (drafts[1] / "alive.json").write_text(json.dumps(liveness.identity()))
    stage(root, node)
    assert [draft.exists() for draft in drafts] == [False, True, True]


def test_another_users_closed_copies_are_none_of_ours(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "node"
    with monkeypatch.context() as patched:
        patched.setattr(staging, "NAME", "moco-harness-data-1-")
        theirs = stage(root, node)
    draft = node / f".moco-harness-data-1-{'0' * 12}.0"
    dead(draft)

    def closed(folder: Path) -> None:
        raise Unreadable(f"{folder}: cannot be read")

    monkeypatch.setattr(staging, "holder", lambda f: closed(f) if "data-1-" in f.name else {})
    assert stage(root, node) != theirs
    assert draft.exists()


def test_a_job_that_is_warned_while_it_copies_has_not_begun(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is requeued, as after a checkpoint: `_run` says so."""
    gate = Gate(monkeypatch)

    class Warned(StopFlag):
        def __call__(self) -> bool:
            return gate.reached.is_set()

    folder = StageFolder(tmp_path / "runs" / "a.pretrain-0123456789")
    folder.create({"id": folder.id, "kind": "pretrain", "parent": None, "recipe": FOLDER})
    code = str(Path(harness.__file__).parent.parent)
    job = StageJob(str(folder.path), str(root), "cpu", code, str(tmp_path / "node"))
    assert job._run(Warned(), None) == "interrupted"
    assert folder.attempts() == []


def test_a_stop_while_the_source_is_looked_at(root: Path, tmp_path: Path) -> None:
    answers = iter([False, False, True])
    found = staging.stage(
        FOLDER, root, str(tmp_path / "node"), first=True, stopping=lambda: next(answers, True)
    )
    assert found is None
    assert list((tmp_path / "node").iterdir()) == []


@pytest.mark.parametrize("local", ["$NOWHERE_TO_BE_FOUND/x", "relative/folder"])
def test_a_folder_that_is_none(root: Path, local: str) -> None:
    with pytest.raises(DataError, match="absolute path"):
        stage(root, local)


def test_a_full_disk_leaves_nothing(root: Path, mount: Any) -> None:
    disk = mount("size=64k")
    (root / "nets" / "small" / "train" / "a" / "large.png").write_bytes(bytes(200_000))
    with pytest.raises(DataError, match=r"could not be copied to it \(No space left"):
        stage(root, disk)
    assert list(disk.iterdir()) == []


def test_a_link_that_leads_nowhere_is_not_copied(root: Path, tmp_path: Path) -> None:
    (root / "nets" / "small" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    assert files(stage(root, tmp_path / "local") / "nets") == {
        "small/train/a/1.png", "small/val/a/2.png"
    }  # fmt: skip


def test_neither_pipes_nor_links_in_a_circle_are_copied(root: Path, tmp_path: Path) -> None:
    inside = root / "nets" / "small" / "train"
    (inside / "a" / "above").symlink_to("../..")
    (inside / "b").symlink_to("a")
    os.mkfifo(inside / "a" / "pipe.jpg")
    found: list[Path] = []
    over = threading.Event()
    copying = threading.Thread(
        target=lambda: found.append(stage(root, tmp_path / "local", stopping=over.is_set)),
        daemon=True,
    )
    copying.start()
    copying.join(30)
    over.set()
    assert files(found[0] / "nets") == {
        "small/train/a/1.png",
        "small/train/b/1.png",
        "small/val/a/2.png",
    }


def test_a_further_tasks_own_data_is_copied() -> None:
    own = {"name": "pets", "folder": None}
    recipe = FOLDER | {"tasks": {"more": {"kind": "knn", "data": own}, "same": {"data": None}}}
    assert staging.needed(staging.own({"recipe": recipe, "task": "more"})) == ["oxford-iiit-pet"]
    for task in ("same", None):
        assert staging.needed(staging.own({"recipe": recipe, "task": task})) == ["nets/small"]


@pytest.mark.parametrize(
    ("task", "needs"),
    [
        ({"masks": {"name": "voc2012_aug"}}, ["VOCdevkit/VOC2012", "sbd"]),
        ({"masks": {"name": "cityscapes"}}, ["cityscapes/leftImg8bit", "cityscapes/gtFine"]),
        ({"masks": {"name": "scenes"}}, []),
        ({"boxes": {"name": "voc0712"}}, ["VOCdevkit/VOC2007", "VOCdevkit/VOC2012"]),
        ({"boxes": {"name": "scenes"}}, []),
        ({"images": {"name": "voc2007"}}, ["VOCdevkit/VOC2007"]),
        ({"images": {"name": "scenes"}}, []),
        ({"images": 100}, []),
        ({"labels_file": "lists/1percent.txt"}, ["lists/1percent.txt"]),
        ({"labels_file": None}, []),
    ],
)
def test_masks_boxes_and_lists_of_labels_are_copied(task: dict[str, Any], needs: list[str]) -> None:
    recipe = FOLDER | {"tasks": {"one": {"data": None, **task}, "other": {"data": None}}}
    described = {"recipe": recipe, "parent": "x"}
    assert staging.needed(staging.own(described | {"task": "one"})) == ["nets/small", *needs]
    assert staging.needed(staging.own(described | {"task": "other"})) == ["nets/small"]
    assert staging.needed(staging.own({"recipe": recipe, "parent": None})) == ["nets/small"]


def test_pretraining_reads_the_data_of_the_task_that_is_monitored() -> None:
    tasks = {name: {"data": {"name": name, "folder": None}} for name in ("pets", "dtd")}
    recipe = FOLDER | {"tasks": tasks, "watch": {"knn_task": "dtd"}}
    pretrain: dict[str, Any] = {"recipe": recipe, "parent": None}
    assert staging.needed(staging.own(pretrain)) == ["nets/small", "dtd/dtd"]
    task = pretrain | {"task": "pets", "parent": "x"}
    assert staging.needed(staging.own(task)) == ["oxford-iiit-pet"]


def test_of_several_data_roots(root: Path, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "w.pth").write_text("weights")
    recipe = FOLDER | {"model": {"weights": {"file": "w.pth"}}}
    roots = joined([tmp_path / "first", root])
    copy = staging.stage(recipe, roots, str(tmp_path / "local"), first=True, stopping=lambda: False)
    assert isinstance(copy, Path)
    assert files(copy) == {"w.pth", "nets/small/train/a/1.png", "nets/small/val/a/2.png"}


def test_test_images_from_elsewhere_are_copied() -> None:
    data = {"name": "imagefolder", "folder": "imagenet", "test": "imagenet-r"}
    assert staging.needed({"data": data, "model": {}}) == ["imagenet", "imagenet-r"]
