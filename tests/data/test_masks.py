"""Pairs of images and masks: what is read, and how wrong files are refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.data.masks import (
    IGNORED,
    MaskFile,
    MaskFiles,
    MaskStack,
    existing,
    labels_table,
    read_indexed,
)
from harness.errors import DataError, NoData

LABELS = np.array([[0, 1, 2], [2, 255, 0]], dtype=np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> MaskFile:
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    image, mask = tmp_path / "photos" / "one.png", tmp_path / "masks" / "one.png"
    Image.fromarray(np.arange(18, dtype=np.uint8).reshape(2, 3, 3)).save(image)
    Image.fromarray(LABELS).save(mask)
    return MaskFile(image, mask, read_indexed)


def opened(file: MaskFile, classes: int = 3) -> MaskFiles:
    return MaskFiles([file], labels_table(classes), f"labels are 0 to {classes - 1}")


def test_a_pair_is_the_pixels_and_the_labels(file: MaskFile) -> None:
    image, mask = opened(file).pair(0)
    assert (image.dtype, mask.dtype) == (torch.uint8, torch.uint8)
    assert image.permute(1, 2, 0).ravel().tolist() == list(range(18))
    assert mask.tolist() == LABELS.tolist()
    assert opened(file).size(0) == (2, 3)


def test_an_indexed_mask_gives_its_indices_not_its_colours(file: MaskFile) -> None:
    """VOC's masks have a palette of colours."""
    indexed = Image.fromarray(LABELS, "L").convert("P")
    indexed.putdata(LABELS.ravel().tolist())
    indexed.putpalette([n * 7 % 256 for n in range(768)])
    indexed.save(file.mask)
    assert Image.open(file.mask).mode == "P"
    assert opened(file).pair(0)[1].tolist() == LABELS.tolist()


def test_a_mask_of_another_size_names_both_files(file: MaskFile) -> None:
    Image.fromarray(LABELS.T.copy()).save(file.mask)
    with pytest.raises(DataError) as wrong:
        opened(file).pair(0)
    assert str(file.mask) in str(wrong.value)
    assert str(file.image) in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_label_beyond_the_classes_is_named(file: MaskFile) -> None:
    assert opened(file, 3).pair(0)[1].max() == IGNORED
    with pytest.raises(DataError, match=r"label 2,.*photos/one.png"):
        opened(file, 2).pair(0)


@pytest.mark.parametrize("label", [-1, 256, 511])
def test_labels_that_no_byte_holds_are_refused(file: MaskFile, label: int) -> None:
    odd = MaskFile(file.image, file.mask, lambda _: torch.full((2, 3), label))
    with pytest.raises(DataError, match=str(label)):
        opened(odd).pair(0)


@pytest.mark.parametrize("content", ["colours", "damaged", "none"])
def test_files_that_are_no_masks_are_named(file: MaskFile, content: str) -> None:
    if content == "colours":
        Image.fromarray(np.zeros((2, 3, 3), dtype=np.uint8)).save(file.mask)
    elif content == "damaged":
        file.mask.write_bytes(file.mask.read_bytes()[:50])
    else:
        file.mask.unlink()
    with pytest.raises(NoData, match=str(file.mask)):
        opened(file).load(torch.tensor([0]), lambda _, pair: pair)


@pytest.mark.parametrize("lacking", ["image", "mask"])
def test_a_missing_file_is_found_before_any_is_decoded(file: MaskFile, lacking: str) -> None:
    listed = Path("list.txt")
    assert existing([file], listed, "mend it") == [file]
    path: Path = getattr(file, lacking)
    path.unlink()
    with pytest.raises(DataError, match=f"list.txt.*1 images have no {lacking}.*{path}"):
        existing([file], listed, "mend it")
    if lacking == "mask":
        with pytest.raises(DataError, match="mend it"):
            existing([file], listed, "mend it")


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(DataError, match="list"):
        existing([], Path("list.txt"), "")


def test_a_digest_knows_order_sizes_and_pixels(file: MaskFile) -> None:
    other = MaskFile(file.image, file.mask.with_name("two.png"), read_indexed)
    Image.fromarray(LABELS.repeat(2, 0)).save(other.mask)
    table = labels_table(3)
    digests = {
        MaskFiles(files, table, "").digest()
        for files in ([file, other], [other, file], [file], [other])
    }
    assert len(digests) == 4
    images, masks = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, 4, 4).byte()
    stack = MaskStack(images, masks)
    changed = masks.clone()
    changed[1, 2, 3] = 1
    assert stack.digest() != MaskStack(images, changed).digest()
    assert stack.digest() == MaskStack(images.clone(), masks.clone()).digest()


def test_a_subset_keeps_the_given_order(file: MaskFile) -> None:
    files = [MaskFile(file.image.with_name(str(n)), file.mask, read_indexed) for n in range(4)]
    some = MaskFiles(files, labels_table(3), "").subset(torch.tensor([3, 1]))
    assert [each.image.name for each in some.files] == ["3", "1"]


def test_a_file_that_is_gone_is_named(file: MaskFile) -> None:
    file.mask.unlink()
    file.mask.symlink_to("nowhere.png")
    with pytest.raises(DataError, match=str(file.mask)):
        opened(file).digest()


def test_an_empty_mask_is_called_empty(file: MaskFile) -> None:
    file.mask.write_bytes(b"")
    with pytest.raises(DataError, match="is empty") as refused:
        opened(file).pair(0)
    assert "BytesIO" not in str(refused.value)


def test_the_size_of_a_pipe_is_not_waited_for(file: MaskFile) -> None:
    file.image.unlink()
    os.mkfifo(file.image)
    with pytest.raises(DataError, match=str(file.image)):
        opened(file).size(0)


def test_a_mask_beyond_the_limit_of_pixels_is_not_called_damaged(
    file: MaskFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    with pytest.raises(DataError, match="too many pixels") as refused:
        read_indexed(file.mask)
    assert str(file.mask) in str(refused.value)
    assert "restore" not in str(refused.value)
