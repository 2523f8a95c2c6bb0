"""Data sets: found, verified, cut, fingerprinted; and what a user reads if they are not."""

import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from harness.data.datasets import open_data
from harness.data.images import Files, Stack
from harness.errors import DataError
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
    with pytest.raises(DataError, match="no images in it"):
        open_data(TINY, tmp_path)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr("urllib.request._opener", None)  # it keeps the proxies it first saw


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10"])
def test_without_data_and_network_the_user_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name} is not whole under .* could not be downloaded"):
        open_data(Data.model_validate({"name": name, "size": 32}), tmp_path)


@pytest.mark.usefixtures("no_network")
def test_a_corrupt_cifar_is_not_taken_for_the_real_one(tmp_path: Path) -> None:
    inside = tmp_path / "cifar-10-batches-py"
    inside.mkdir()
    for n in range(1, 6):
        (inside / f"data_batch_{n}").write_bytes(pickle.dumps({"data": b"", "labels": []}))
    with pytest.raises(DataError, match="cifar10 is not whole"):
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
