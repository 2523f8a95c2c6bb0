"""Broken annotations are found before any training, each once."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from cli.tiny import TINY
from data import box_layouts as layouts
from data.box_layouts import edited, replaced
from test_layering import loaded_by

import harness
from harness import annotation_check
from harness.annotation_check import damaged_annotations
from harness.app import planning
from harness.data import voc_boxes
from harness.errors import NoData
from harness.recipe.detection import DetectionTask, InstanceTask


def task(name: str, *, outlines: bool = False) -> DetectionTask:
    kind = InstanceTask if outlines else DetectionTask
    said = ("instances", "mask_fpn") if outlines else ("detection", "c4")
    return kind.model_validate_json(
        f'{{"kind": "{said[0]}", "detector": "{said[1]}", "boxes": {{"name": "{name}"}}, '
        '"shortest": [64], "batch": 2, "steps": 1, "lr": 0.1, "schedule": {"kind": "constant"}}'
    )


def wrong(root: Path, name: str, *, outlines: bool = False) -> list[str]:
    (root / "runs").mkdir(exist_ok=True)
    return damaged_annotations([task(name, outlines=outlines)], root, root / "runs")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("</annotation>", "", "not an XML file"),
        ("<width>[0-9]*</width>", "", "size/width is missing"),
        ("<name>[a-z]*</name>", "<name>toaster</name>", "toaster, which is none of VOC"),
        ("<xmin>", "<xmin>x", "no number"),
    ],
)
def test_an_annotation_of_voc(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = layouts.voc(tmp_path) / "Annotations" / "000002.xml"
    assert wrong(tmp_path, "voc2007") == []
    replaced(path, old, new)
    (found,) = wrong(tmp_path, "voc2007")
    assert found.startswith(f"{path}: ")
    assert says in found
    assert "restore" in found


def test_both_years_and_the_test_images_are_checked(tmp_path: Path) -> None:
    folders = layouts.voc(tmp_path), layouts.voc(tmp_path, 2012, train=2)
    listed = (folders[0] / "ImageSets" / "Main" / "test.txt").read_text().split()
    broken = folders[0] / "Annotations" / f"{listed[0]}.xml", folders[1] / "Annotations/000001.xml"
    for path in broken:
        path.write_text("")
    found = wrong(tmp_path, "voc0712")
    assert {one.partition(": ")[0] for one in found} == {str(path) for path in broken}


def test_many_broken_annotations_are_counted(tmp_path: Path) -> None:
    for path in (layouts.voc(tmp_path) / "Annotations").iterdir():
        path.write_text("<a>")
    found = wrong(tmp_path, "voc2007")
    assert len(found) == 6
    assert found[-1].startswith("2 more annotations of voc2007")


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    annotations = layouts.voc(tmp_path) / "Annotations"
    read: list[str] = []
    whole = voc_boxes.read_annotation

    def seen(path: Path) -> Any:
        read.append(path.stem)
        return whole(path)

    monkeypatch.setattr(voc_boxes, "read_annotation", seen)
    monkeypatch.setattr("harness.input_notes.SETTLED_NS", -(10**12))  # as if all changed long ago
    assert wrong(tmp_path, "voc2007") == []
    assert len(read) == 7
    read.clear()
    assert wrong(tmp_path, "voc2007") == []
    assert read == []
    (annotations / "000002.xml").write_text("")
    assert len(wrong(tmp_path, "voc2007")) == 1
    assert len(wrong(tmp_path, "voc2007")) == 1, "what is broken is told each time"
    assert read == ["000002"] * 2


def test_what_is_left_is_read_by_the_next_call(tmp_path: Path) -> None:
    (layouts.voc(tmp_path) / "Annotations" / "000002.xml").write_text("")
    assert damaged_annotations([task("voc2007")], tmp_path, tmp_path, -1.0) == []
    assert len(wrong(tmp_path, "voc2007")) == 1


def twice(content: dict[str, Any]) -> None:
    content["annotations"].append(content["annotations"][0])


def other_category(content: dict[str, Any]) -> None:
    content["annotations"][0]["category_id"] = 10**6


def more_images(content: dict[str, Any]) -> None:
    content["images"].append({**content["images"][0], "id": 99, "file_name": "000099.jpg"})


def other_names(content: dict[str, Any]) -> None:
    content["categories"][0]["name"] = "toaster"


@pytest.mark.parametrize("change", [twice, other_category, more_images, other_names])
@pytest.mark.parametrize("split", ["train", "val"])
def test_an_annotation_file_of_coco(tmp_path: Path, change: Any, split: str) -> None:
    folder = layouts.coco(tmp_path)
    assert wrong(tmp_path, "coco2017") == []
    path = edited(folder, change, split)
    (found,) = wrong(tmp_path, "coco2017")
    assert str(path) in found


def test_a_file_of_coco_that_is_no_json(tmp_path: Path) -> None:
    path = edited(layouts.coco(tmp_path), lambda _: None)
    path.write_text(path.read_text()[:-9])
    (found,) = wrong(tmp_path, "coco2017")
    assert found.startswith(f"{path}: not a JSON file")


def test_images_that_are_removed_later_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.input_notes.SETTLED_NS", -(10**12))
    folder = layouts.coco(tmp_path)
    assert wrong(tmp_path, "coco2017") == []
    next((folder / "train2017").iterdir()).unlink()
    (found,) = wrong(tmp_path, "coco2017")
    assert "1 of its 5 images are not in" in found


def test_an_image_that_is_a_link_to_nowhere(tmp_path: Path) -> None:
    image = layouts.coco(tmp_path) / "train2017" / f"{2:012d}.png"
    image.unlink()
    image.symlink_to("gone.png")
    (found,) = wrong(tmp_path, "coco2017")
    assert found.startswith(f"{image}: ")


def test_nothing_to_learn(tmp_path: Path) -> None:
    path = edited(layouts.coco(tmp_path), lambda content: content["annotations"].clear())
    (found,) = wrong(tmp_path, "coco2017")
    assert found.startswith(f"{path}: ")


def test_outlines_are_read_where_masks_are_learnt(tmp_path: Path) -> None:
    def bare(content: dict[str, Any]) -> None:
        del content["annotations"][0]["segmentation"]

    path = edited(layouts.coco(tmp_path), bare)
    assert wrong(tmp_path, "coco2017") == []
    (found,) = wrong(tmp_path, "coco2017", outlines=True)
    assert found.startswith(f"{path}: ")


def test_of_a_large_file_only_the_ends_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = layouts.coco(tmp_path)
    path = edited(folder, lambda _: None)
    whole = path.read_text()
    val = folder / "annotations" / "instances_val2017.json"
    monkeypatch.setattr(annotation_check, "WHOLE", val.stat().st_size)
    assert path.stat().st_size > annotation_check.WHOLE
    monkeypatch.setattr("json.loads", refusing(whole, json.loads))
    assert wrong(tmp_path, "coco2017") == []
    path.write_text(whole[:-9])
    assert wrong(tmp_path, "coco2017")[0].startswith(f"{path}: not a whole JSON file")
    path.write_text(whole.replace("000001.png", "COCO_1.png"))
    (found,) = wrong(tmp_path, "coco2017")
    assert found.startswith(f"{path}: names 1 images or more that are not in ")
    assert "COCO_1.png" in found
    path.write_text(whole)
    val.write_text("{")
    assert wrong(tmp_path, "coco2017")[0].startswith(f"{val}: not a JSON file")


def without(part: str) -> Any:
    return lambda content: content.pop(part)


@pytest.mark.parametrize("part", ["images", "annotations"])
def test_a_large_file_of_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    path = edited(layouts.coco(tmp_path, train=40, val=1), without(part))
    monkeypatch.setattr(annotation_check, "WHOLE", path.stat().st_size - 1)
    (found,) = wrong(tmp_path, "coco2017")
    assert found.startswith(f"{path}: ")


def test_a_large_file_may_be_cut_within_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = edited(layouts.coco(tmp_path), lambda _: None)
    content = path.read_bytes()
    monkeypatch.setattr(annotation_check, "WHOLE", 1)
    name = content.index(b'"file_name"')
    for end in range(name, name + 40):
        monkeypatch.setattr(annotation_check, "HEAD", end)
        if end > len(content) - content.rindex(b'"categories"'):
            assert wrong(tmp_path, "coco2017") == []


def test_a_large_file_may_have_its_images_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its names are then at its end."""

    def last(content: dict[str, Any]) -> None:
        content["images"] = content.pop("images")

    path = edited(layouts.coco(tmp_path), last)
    monkeypatch.setattr(annotation_check, "WHOLE", 1)
    monkeypatch.setattr(annotation_check, "HEAD", 900)
    assert b"file_name" not in path.read_bytes()[:900]
    assert wrong(tmp_path, "coco2017") == []
    (path.parents[1] / "train2017" / f"{5:012d}.png").unlink()
    (found,) = wrong(tmp_path, "coco2017")
    assert found.startswith(f"{path}: ")
    assert f"{5:012d}.png" in found


def closing(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """As for a user who may not read the file: root, who may run the tests, reads all."""
    before = os.open

    def closed(name: Any, *more: Any, **named: Any) -> int:
        if os.fspath(name) == str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return before(name, *more, **named)

    monkeypatch.setattr("os.open", closed)


@pytest.mark.parametrize("whole", [1, annotation_check.WHOLE])
def test_a_file_of_coco_that_the_user_may_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: int
) -> None:
    path = edited(layouts.coco(tmp_path), lambda _: None)
    monkeypatch.setattr(annotation_check, "WHOLE", whole)
    closing(monkeypatch, path)
    (found,) = wrong(tmp_path, "coco2017")
    assert found.startswith(f"{path}: ")
    assert "belongs to" in found


def test_a_folder_that_the_user_may_not_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = layouts.voc(tmp_path) / "Annotations"
    before = Path.is_dir

    def closed(path: Path) -> bool:
        if path == folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return before(path)

    monkeypatch.setattr(Path, "is_dir", closed)
    (found,) = wrong(tmp_path, "voc2007")
    assert found.startswith(f"{folder}: ")


def test_damage_is_told_beside_a_file_that_is_missing(tmp_path: Path) -> None:
    folder = layouts.voc(tmp_path) / "Annotations"
    (folder / "000002.xml").write_text("")
    (folder / "000003.xml").unlink()
    (found,) = wrong(tmp_path, "voc2007")
    assert found.startswith(f"{folder / '000002.xml'}: ")


def test_torch_is_not_loaded(tmp_path: Path) -> None:
    """A login node plans; loading torch takes it seconds."""
    layouts.voc(tmp_path)
    layouts.coco(tmp_path)
    said = [task(name).model_dump_json() for name in ("voc2007", "coco2017")]
    loaded = loaded_by(
        "from pathlib import Path\n"
        "from harness.annotation_check import damaged_annotations\n"
        "from harness.recipe.detection import DetectionTask\n"
        f"tasks = [DetectionTask.model_validate_json(one) for one in {said}]\n"
        f"root = Path({str(tmp_path)!r})\n"
        "assert damaged_annotations(tasks, root, root) == []\n"
    )
    assert not loaded & {"torch", "torchvision"}
    assert loaded >= {"harness.data.voc_boxes", "harness.data.coco_instances"}


def refusing(text: str, before: Any) -> Any:
    def loads(content: str | bytes) -> Any:
        assert content != text.encode(), "the large file was parsed"
        return before(content)

    return loads


def test_what_is_missing_is_told_elsewhere(tmp_path: Path) -> None:
    assert wrong(tmp_path, "voc0712") == wrong(tmp_path, "coco2017") == []
    assert wrong(tmp_path, "scenes") == []


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = layouts.voc(tmp_path) / "Annotations" / "000002.xml"
    path.unlink()
    os.mkfifo(path)
    begun = time.monotonic()
    (found,) = wrong(tmp_path, "voc2007")
    assert found.startswith(f"{path}: not a regular file")
    assert time.monotonic() - begun < 60


def test_before_pre_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCO_HARNESS_DEVICE", "cpu")
    broken = layouts.voc(tmp_path / "data") / "Annotations" / "000002.xml"
    broken.write_text("<annotation>")
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"{TINY}tasks:\n  det: {{kind: detection, detector: small, boxes: {{name: voc2007}}, "
        "shortest: [32], steps: 1, batch: 2, lr: 0.02, schedule: {kind: constant}}\n"
    )
    site = harness.load_site(runs=tmp_path / "runs", data=tmp_path / "data")
    for refused in (
        lambda: planning.refuse_as_run(harness.app.plan(path, site, on="here"), site),
        lambda: harness.app.run(path, site),
    ):
        with pytest.raises(NoData, match=str(broken)):
            refused()
    assert not list((tmp_path / "runs").glob("*pretrain*"))
