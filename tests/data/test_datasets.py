"""Data sets: found, verified, cut, fingerprinted; and what a user reads if they are not."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data import images as module
from harness.data.broken import check
from harness.data.datasets import open_data
from harness.data.images import Files, Stack
from harness.errors import DataError, NoData
from harness.recipe.schema import Data


def folder(root: Path, n: int = 3) -> Path:
    """A tiny image folder: two classes, images of different sizes."""
    for part in ("train", "val"):
        for label, name in enumerate(("cat", "dog")):
            inside = root / "tiny" / part / name
            inside.mkdir(parents=True)
            for i in range(n):
                size = (40 + 7 * i, 30 + 5 * label)
                Image.new("RGB", size, (80 * label, 40 * i, 90)).save(inside / f"{i}.png")
    return root / "tiny"


TINY = Data(name="imagefolder", folder="tiny", size=16)


def test_an_image_folder(tmp_path: Path) -> None:
    folder(tmp_path)
    data = open_data(TINY, tmp_path)
    assert (len(data.train), len(data.test), data.classes) == (6, 6, 2)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    loaded = data.train.load(torch.tensor([0, 5]))
    assert torch.as_tensor(loaded.sizes).tolist() == [[30, 40], [35, 54]]
    boxes = torch.tensor([[0, 0, 30, 40], [5, 5, 10, 10]])
    assert loaded.crop(boxes, 16).shape == loaded.center(16).shape == (2, 3, 16, 16)


def test_a_fixed_subset_is_the_same_each_time(tmp_path: Path) -> None:
    folder(tmp_path)
    cut = TINY.model_copy(update={"images": 4})
    first = open_data(cut, tmp_path)
    open_data.cache_clear()
    again = open_data(cut, tmp_path)
    assert isinstance(first.train, Files)
    assert isinstance(again.train, Files)
    assert first.train.paths == again.train.paths
    assert len(first.train) == 4
    assert first.fingerprint == again.fingerprint != open_data(TINY, tmp_path).fingerprint


def test_the_fingerprint_follows_the_files(tmp_path: Path) -> None:
    path = folder(tmp_path)
    before = open_data(TINY, tmp_path).fingerprint
    (path / "train" / "cat" / "0.png").rename(path / "train" / "dog" / "9.png")
    open_data.cache_clear()
    assert open_data(TINY, tmp_path).fingerprint != before


@pytest.mark.parametrize("damage", ["truncate", "text", "remove"])
def test_a_damaged_image_is_named(tmp_path: Path, damage: str) -> None:
    path = folder(tmp_path) / "train" / "dog" / "1.png"
    data = open_data(TINY, tmp_path)
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:60])
    elif damage == "text":
        path.write_text("no image")
    else:
        path.unlink()
    with pytest.raises(DataError, match=r"dog/1\.png"):
        data.train.load(torch.tensor([4]))


def test_an_absent_folder_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train/<class>/<image>"):
        open_data(TINY, tmp_path)
    (tmp_path / "tiny" / "train" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"train.*<class>/<image>"):
        open_data(TINY, tmp_path)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr("urllib.request._opener", None)  # it keeps the proxies it first saw


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10"])
def test_without_data_and_network_the_user_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name} is incomplete in .* could not be downloaded"):
        open_data(Data.model_validate({"name": name, "size": 32}), tmp_path)


@pytest.mark.usefixtures("no_network")
def test_a_corrupt_cifar_is_not_taken_for_the_real_one(tmp_path: Path) -> None:
    inside = tmp_path / "cifar-10-batches-py"
    inside.mkdir()
    for n in range(1, 6):
        (inside / f"data_batch_{n}").write_bytes(pickle.dumps({"data": b"", "labels": []}))
    with pytest.raises(DataError, match="cifar10 is incomplete"):
        open_data(Data(name="cifar10", size=32), tmp_path)


def test_the_embedded_images_need_no_root(tmp_path: Path) -> None:
    data = open_data(Data(name="embedded", images=100, size=16), tmp_path / "absent")
    assert len(data.train) == 100
    assert data.classes == 10
    assert not (tmp_path / "absent").exists()


def test_small_data_moves_to_the_device_whole_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = open_data(Data.model_validate({"name": "embedded", "images": 20, "size": 16}), Path())
    assert data.on(torch.device("cpu")).train is data.train
    moved = data.on(torch.device("meta"))
    assert isinstance(moved.train, Stack)
    assert moved.train.stack.device.type == "meta"
    assert moved.bank is moved.train
    assert moved.train.labels.device.type == "cpu"
    assert moved.fingerprint == data.fingerprint
    monkeypatch.setattr("harness.data.images.RESIDENT", 100)
    assert data.on(torch.device("meta")).train is data.train


def test_a_plain_folders_fingerprint_stays(tmp_path: Path) -> None:
    """Checkpoints and results name it; the names are such as sort differently with their folder."""
    for part, sizes in (("train", 3), ("val", 1)):
        for n, name in enumerate(
            ("a.jpg", "a/z.JPEG", "a-b.png", "B.tif", "Köln/1.webp", ".h.jpg")
        ):
            for label in ("cat", "dog"):
                path = tmp_path / "tiny" / part / label / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x" * (sizes + n))
    assert open_data(TINY, tmp_path).fingerprint == "7de053a31539"
    cut = TINY.model_copy(update={"images": 7})
    assert open_data(cut, tmp_path).fingerprint == "c143364c4001"


def spoil(path: Path, *names: str) -> None:
    for name in names:
        (path / name).write_bytes(b"")


def test_a_run_that_meets_a_broken_image_tells_of_the_others(tmp_path: Path) -> None:
    path = folder(tmp_path, 12)
    spoil(path, *(f"train/{name}/{n}.png" for name in ("cat", "dog") for n in range(6)))
    images = open_data(TINY, tmp_path).train
    images.load(torch.tensor([2, 3]))
    for index in ([2, 3, 0], [2, 3]):  # nothing is handed out any more
        with pytest.raises(NoData, match="12 images of 24 cannot be used") as told:
            images.load(torch.tensor(index))
    said = str(told.value)
    assert said.count("the file is empty") == 10
    assert "dog/3.png" in said
    assert "dog/4.png" not in said
    assert "and 2 more" in said
    assert f"moco-harness data check {path} --leave-out" in said
    assert "BytesIO" not in said


def test_a_run_does_not_look_for_broken_images_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(folder(tmp_path), "train/dog/2.png")
    monkeypatch.setattr(module, "LISTING_S", 0.0)
    with pytest.raises(NoData, match=r"1 image of 6 .*\(0 were checked\)(.|\n)*dog/2.png"):
        open_data(TINY, tmp_path).train.load(torch.tensor([5]))


def test_what_is_left_out_or_passed_over_is_on_record(tmp_path: Path) -> None:
    path = folder(tmp_path)
    assert not {"left_out", "passed_over"} & set(open_data(TINY, tmp_path).described)
    before = open_data(TINY, tmp_path).fingerprint
    open_data.cache_clear()
    (path / "broken.txt").write_text("# by hand\n\ntrain/cat/0.png\nval/dog/1.png\nval/dog/9.png\n")
    (path / "val" / "cat" / ".cache").mkdir()
    data = open_data(TINY, tmp_path)
    assert (len(data.train), len(data.test)) == (5, 5)
    assert data.described["left_out"] == {
        "images": 2,
        "first": ["train/cat/0.png", "val/dog/1.png"],
    }
    assert data.described["passed_over"] == {"val": {"hidden": 1}}
    assert any("cat/.cache" in remark for remark in data.remarks)
    assert any("train/cat/0.png" in remark for remark in data.remarks)
    assert data.fingerprint != before


@pytest.mark.parametrize("line", ["train/cat/7.png", "train/cat/0.png \r", "train/cat"])
def test_what_is_listed_and_not_there_is_told(tmp_path: Path, line: str) -> None:
    path = folder(tmp_path)
    (path / "broken.txt").write_text(f"val/dog/1.png\r\n{line}\n", newline="")
    data = open_data(TINY, tmp_path)
    assert data.described["left_out"]["first"] == ["val/dog/1.png"]
    (remark,) = (remark for remark in data.remarks if "broken.txt" in remark)
    assert f"'{line.rstrip(chr(13))}'" in remark
    assert "val/dog" not in remark
    assert remark.partition(": ")[2] in "".join(check(path, lambda *_: None).remarks)


def nowhere(path: Path) -> None:
    path.symlink_to("elsewhere.txt")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, nowhere])
def test_a_list_that_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(folder(tmp_path) / "broken.txt")
    with pytest.raises(DataError, match=r"broken\.txt"):
        open_data(TINY, tmp_path)


def test_a_list_of_other_things_is_refused(tmp_path: Path) -> None:
    (folder(tmp_path) / "broken.txt").write_text("cat/0.png\n")
    with pytest.raises(DataError, match=r"broken\.txt: cat/0\.png: no image of train/ or val/"):
        open_data(TINY, tmp_path)


@pytest.mark.parametrize("name", ["train", "val"])
def test_a_split_that_lacks_a_class_is_refused(tmp_path: Path, name: str) -> None:
    path = folder(tmp_path)
    for image in (path / name / "dog").iterdir():
        image.rename(image.with_suffix(".gif"))
    with pytest.raises(DataError, match=r"different classes.*dog"):
        open_data(TINY, tmp_path)


def test_a_subset_that_loses_a_class_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path, 30)
    for part in ("train", "val"):
        (path / part / "zebra").mkdir()
        (path / part / "cat" / "0.png").rename(path / part / "zebra" / "0.png")
    with pytest.raises(DataError, match=r"1 of its 3 classes.*zebra.*; .*\d+ or more") as told:
        open_data(TINY.model_copy(update={"images": 20}), tmp_path)
    least = int(str(told.value).split("; ")[-1].removeprefix("use ").split()[0])
    whole = open_data(TINY.model_copy(update={"images": least}), tmp_path).train
    assert set(whole.labels.tolist()) == {0, 1, 2}
    with pytest.raises(DataError, match="zebra"):
        open_data(TINY.model_copy(update={"images": least - 1}), tmp_path)
    with pytest.raises(DataError, match="2 of its 3 classes"):
        open_data(TINY.model_copy(update={"images": 1}), tmp_path)


def test_fewer_embedded_images_than_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 of its 10 classes.*spiral"):
        open_data(Data(name="embedded", images=9, size=16), tmp_path)
    assert open_data(Data(name="embedded", images=10, size=16), tmp_path).classes == 10


def test_a_subset_of_cifar_that_loses_a_class_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR10", Cifar)
    assert open_data(Data(name="cifar10", size=32, images=90), tmp_path).classes == 10
    with pytest.raises(DataError, match=r"images: 12 images of cifar10 .* . of its 10"):
        open_data(Data(name="cifar10", size=32, images=12), tmp_path)


class Cifar:
    """As torchvision gives it out, with 100 images."""

    classes = tuple("abcdefghij")

    def __init__(self, *_: object, **__: object) -> None:
        self.data = np.zeros((100, 32, 32, 3), dtype=np.uint8)
        self.targets = [n % 10 for n in range(100)]


def test_a_folder_that_is_closed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)

    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", closed)
    with pytest.raises(NoData, match=r"tiny: cannot be read: permission denied, it belongs to"):
        open_data(TINY, tmp_path)
