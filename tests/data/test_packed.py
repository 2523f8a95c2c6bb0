"""Packed image folders: the same images, resumable, verified."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.packs import TINY, packed, quiet
from PIL import Image

from harness.data import broken
from harness.data import pack as packing
from harness.data.datasets import open_data
from harness.data.pack import pack
from harness.data.packed import Packed
from harness.errors import DataError, StoreError
from harness.imagefolder import IRREGULAR
from harness.inputs import Inputs
from harness.store.layout import StageFolder
from harness.store.ledger import Entry
from harness.store.stale import why_changed

pytestmark = pytest.mark.usefixtures("fresh")


def _other_density(path: Path) -> None:
    """Another byte in the JPEG's head: the same size, the same pixels."""
    content = bytearray(path.read_bytes())
    content[15] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda _: None, ""),
        (lambda source: (source / "val/cat/0.jpg").rename(source / "val/cat/9.jpg"), "names"),
        (lambda source: (source / "train/dog/3.jpg").unlink(), "names"),
        (lambda source: _other_density(source / "train/dog/3.jpg"), "contents"),
    ],
)
def test_a_pack_is_known_as_the_folder_that_it_holds(
    source: Path, into: Path, tmp_path: Path, change: Callable[[Path], object], why: str
) -> None:
    """A result of either is one of the other, and stale if an image changed in between."""
    runs = tmp_path / "runs"

    def stale(said: Any, root: Path) -> str:
        entry = Entry(StageFolder(runs / "a"), "finished", result={"inputs": {"data": said}})
        return why_changed(entry, Inputs(root, runs))

    before = Inputs(source.parent, runs).data(TINY)
    change(source)
    packed(source, into)
    of_pack = Inputs(into.parent, runs).data(TINY)
    assert before is not None
    assert of_pack is not None
    assert (before["of"], of_pack["of"]) == ("folder", "pack")
    assert bool(stale(before, into.parent)) == bool(why)
    assert why in stale(before, into.parent)
    assert stale(of_pack, source.parent) == ""
    (into / "val" / "images.bin").write_bytes(b"cut")
    assert "names" in stale(of_pack, into.parent)


def test_a_pack_of_smaller_images_is_not_its_folder(
    source: Path, into: Path, tmp_path: Path
) -> None:
    before = Inputs(source.parent, tmp_path).data(TINY)
    packed(source, into, side=20)
    of_pack = Inputs(into.parent, tmp_path).data(TINY)
    assert before is not None
    assert of_pack is not None
    assert before["fingerprint"] != of_pack["fingerprint"]


def pixels(root: Path) -> list[torch.Tensor]:
    data = open_data(TINY, root)
    boxes = torch.tensor([[1, 2, 30, 30]])
    return [
        images.load(torch.tensor([n])).crop(boxes, 16)
        for images in (data.train, data.test)
        for n in range(len(images))
    ]


def test_a_pack_is_the_folder(source: Path, into: Path) -> None:
    made = packed(source, into)
    assert (made.images, made.again) == (18, False)
    folder, whole = open_data(TINY, source.parent), open_data(TINY, into.parent)
    assert isinstance(whole.train, Packed)
    assert whole.fingerprint == folder.fingerprint, "a run may go on with either"
    assert whole.described == folder.described
    assert torch.equal(whole.train.labels, folder.train.labels)
    first, second = pixels(source.parent), pixels(into.parent)
    assert all(map(torch.equal, first, second))
    cut = TINY.model_copy(update={"images": 5})
    assert open_data(cut, into.parent).fingerprint == open_data(cut, source.parent).fingerprint


def test_smaller_images_are_another_edition_of_the_data(source: Path, into: Path) -> None:
    packed(source, into, side=20)
    folder, small = open_data(TINY, source.parent), open_data(TINY, into.parent)
    assert small.fingerprint != folder.fingerprint
    assert [part in small.described["packing"] for part in (" 20 ", "JPEG quality 95")] == [
        True
    ] * 2
    sizes = torch.as_tensor(small.train.load(torch.arange(7)).sizes)
    assert sizes.min(1).values.tolist() == [20] * 7
    assert sizes[0].tolist() == [20, 30]


def test_images_that_are_small_already_stay_as_they_are(source: Path, into: Path) -> None:
    packed(source, into, side=42)
    data = open_data(TINY, into.parent)
    assert isinstance(data.train, Packed)
    assert data.train.content(1) == (source / "train" / "cat" / "1.png").read_bytes()
    assert data.train.content(6) != (source / "train" / "cat" / "6.jpg").read_bytes()


@pytest.mark.parametrize("at", [0, 4, 13, 17])
def test_killed_and_begun_again(
    source: Path, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(packing, "GROUP", 4)
    packed(source, tmp_path / "whole")
    real, read = packing._content, []

    def killed(path: Path, side: int | None) -> bytes:
        read.append(path)
        if len(read) > at:
            raise KeyboardInterrupt
        return real(path, side)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_content", killed)
        with pytest.raises(KeyboardInterrupt):
            packed(source, into)
    with pytest.raises(DataError, match="has not finished"):
        open_data(TINY, into.parent)
    for torn in into.glob("*/i*.bin"):  # as a kill within a write leaves it
        with torn.open("ab") as file:
            file.write(b"torn")
    packed(source, into)
    for path in sorted(path for path in into.rglob("*") if path.is_file()):
        assert path.read_bytes() == (tmp_path / "whole" / path.relative_to(into)).read_bytes()


def test_again_it_is_verified(source: Path, into: Path) -> None:
    packed(source, into)
    assert packed(source, into).again
    blob = into / "train" / "images.bin"
    content = bytearray(blob.read_bytes())
    content[1000] ^= 1
    blob.write_bytes(content)
    with pytest.raises(DataError, match="train: differs"):
        packed(source, into)


def test_a_link_that_leads_nowhere_is_named(source: Path, into: Path) -> None:
    (source / "train" / "cat" / "gone.jpg").symlink_to("nowhere.jpg")
    with pytest.raises(DataError, match=r"cat/gone\.jpg: a broken link, to nowhere\.jpg"):
        packed(source, into)


def test_an_index_that_was_cut_is_told_when_it_is_verified(source: Path, into: Path) -> None:
    packed(source, into)
    index = into / "train" / "index.bin"
    index.write_bytes(index.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"train/index\.bin: .*; remove .* and pack again"):
        packed(source, into)


def test_what_stands_there_is_not_overwritten(source: Path, into: Path) -> None:
    into.mkdir(parents=True)
    (into / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"not empty \(thesis.tex\)"):
        packed(source, into)
    (into / "thesis.tex").unlink()
    packed(source, into)
    with pytest.raises(DataError, match="another size; name another folder"):
        packed(source, into, side=20)
    (source / "train" / "cat" / "0.jpg").unlink()
    with pytest.raises(DataError, match="another or a changed source"):
        packed(source, into)
    with pytest.raises(DataError, match="not empty"):
        packed(source, source)


def test_what_is_no_image_is_named(source: Path, into: Path) -> None:
    bad = source / "val" / "dog" / "0.jpg"
    bad.write_bytes(bad.read_bytes()[:100])
    with pytest.raises(DataError, match=str(bad)):
        packed(source, into)


def test_a_full_disk(source: Path, mount: Any) -> None:
    disk = mount("size=64k")
    with pytest.raises(StoreError, match="the disk is full"):
        packed(source, disk / "tiny")
    mount("size=4m")
    assert packed(source, disk / "tiny").images == 18


ODD = [b"\xff\xfe.jpg", b"a\nb.jpg", b"a\rb.jpg", b"\x85.jpg", "ü\u2028.jpg".encode()]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_odd_names_are_packed(source: Path, into: Path, name: bytes) -> None:
    (source / "train" / "cat" / "0.jpg").rename(source / "train" / "cat" / os.fsdecode(name))
    packed(source, into)
    assert packed(source, into).again
    folder, whole = open_data(TINY, source.parent), open_data(TINY, into.parent)
    assert whole.fingerprint == folder.fingerprint
    assert isinstance(whole.train, Packed)
    assert os.fsdecode(b"cat/" + name) in whole.train.names


def test_all_broken_images_are_told_and_can_be_left_out(source: Path, into: Path) -> None:
    for name in ("train/cat/0.jpg", "train/dog/3.jpg", "val/dog/0.jpg"):
        (source / name).write_bytes(b"")
    with pytest.raises(DataError, match="3 images of 18 cannot be used") as told:
        packed(source, into)
    said = str(told.value)
    assert "cat/0.jpg" in said
    assert "val/dog/0.jpg" in said
    assert "--skip-broken" in said
    assert "BytesIO" not in said
    made = pack(source, into, side=None, tell=quiet, skip_broken=True)
    assert (made.images, made.again) == (15, False)
    assert "3 broken images left out" in made.remarks[-1]
    assert pack(source, into, side=None, tell=quiet, skip_broken=True).again
    data = open_data(TINY, into.parent)
    first = ["train/cat/0.jpg", "train/dog/3.jpg", "val/dog/0.jpg"]
    assert data.described["left_out"] == {"images": 3, "first": first}
    assert "train/cat/0.jpg" in data.remarks[0]
    (source / "broken.txt").write_text("\n".join(first))
    assert open_data(TINY, source.parent).described == data.described


def test_leaving_out_goes_on_after_a_kill(
    source: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "GROUP", 4)
    (source / "train" / "cat" / "0.jpg").write_bytes(b"")
    real, read = packing._content, []

    def killed(path: Path, side: int | None) -> bytes:
        read.append(path)
        if len(read) > 9:
            raise KeyboardInterrupt
        return real(path, side)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_content", killed)
        with pytest.raises(KeyboardInterrupt):
            pack(source, into, side=None, tell=quiet, skip_broken=True)
    begun = (into / "train" / "index.bin").stat().st_size
    assert begun > 0
    made = pack(source, into, side=None, tell=quiet, skip_broken=True)
    assert (made.images, made.again) == (17, False)


def test_a_class_of_broken_images_alone_is_not_left_out(source: Path, into: Path) -> None:
    for image in (source / "val" / "dog").iterdir():
        image.write_bytes(b"")
    with pytest.raises(DataError, match=r"val loses 1 class.*val/dog/"):
        pack(source, into, side=None, tell=quiet, skip_broken=True)


def test_no_pipe_is_packed(source: Path, into: Path) -> None:
    os.mkfifo(source / "train" / "cat" / "pipe.jpg")
    made = packed(source, into)
    assert made.images == 18
    assert "pipe.jpg" in made.remarks[0]
    assert open_data(TINY, into.parent).described["passed_over"] == {"train": {IRREGULAR: 1}}


def test_deep_images_are_packed_as_they_are_or_in_eight_bits(source: Path, into: Path) -> None:
    deep = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48) * 28
    Image.fromarray(deep).save(source / "train" / "cat" / "deep.png")
    packed(source, into)
    packed(source, into.parent / "small" / "tiny", side=48)
    packed(source, into.parent / "smaller" / "tiny", side=24)
    for root in (into.parent, into.parent / "small", into.parent / "smaller"):
        open_data.cache_clear()
        data = open_data(TINY, root)
        assert isinstance(data.train, Packed)
        n = data.train.names.index("cat/deep.png")
        grey = data.train.load(torch.tensor([n])).center(8)[0, 0]
        assert 0.4 < float(grey.mean()) < 0.6


def test_an_image_that_no_jpeg_can_hold_stays_as_it_is(source: Path, into: Path) -> None:
    long = source / "train" / "cat" / "long.png"
    Image.new("L", (40, 120_000)).save(long)
    assert pack(source, into, side=24, tell=quiet).images == 19
    assert long.read_bytes() in (into / "train" / "images.bin").read_bytes()


def test_every_image_is_checked_and_the_broken_ones_listed(source: Path, into: Path) -> None:
    assert not broken.check(source, quiet).broken
    for name in ("train/cat/0.jpg", "val/dog/0.jpg"):
        (source / name).write_bytes(b"")
    found = broken.check(source, quiet)
    assert (found.images, list(found.broken)) == (18, ["train/cat/0.jpg", "val/dog/0.jpg"])
    listed = broken.leave_out(found).read_text()
    (source / "train" / "dog" / "0.jpg").write_bytes(b"")
    broken.leave_out(broken.check(source, quiet))
    assert (source / "broken.txt").read_text() == listed + "train/dog/0.jpg\n"
    assert packed(source, into).images == 15
    blob = into / "train" / "images.bin"
    blob.write_bytes(bytes(blob.stat().st_size))
    spoilt = broken.check(into, quiet)
    assert len(spoilt.broken) == 12
    with pytest.raises(DataError, match="a pack"):
        broken.leave_out(spoilt)


def test_a_name_with_a_lines_end_is_not_listed(source: Path) -> None:
    (source / "train" / "cat" / "a\nb.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\\nb\.jpg: .*rename it"):
        broken.leave_out(broken.check(source, quiet))
