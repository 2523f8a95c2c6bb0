"""Which training images keep their labels."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from harness.data.images import Files, Stack
from harness.data.labelled import check_shots, listed, stratified
from harness.errors import DataError

LABELS = torch.arange(1000) % 7 % 5  # classes 0 and 1 have twice as many


def test_a_share_is_taken_of_each_class() -> None:
    counts = torch.bincount(LABELS).tolist()
    drawn = stratified(LABELS, 0.1, "pets")
    assert torch.bincount(LABELS[drawn]).tolist() == [int(n * 0.1 + 0.5) for n in counts]
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert torch.equal(drawn, stratified(LABELS, 0.1, "pets"))
    assert not torch.equal(drawn, stratified(LABELS, 0.1, "flowers"))


def test_a_larger_share_contains_a_smaller_one() -> None:
    nested = [set(stratified(LABELS, share, "pets").tolist()) for share in (0.01, 0.1, 3, 50)]
    assert nested[0] < nested[1]
    assert nested[2] < nested[3]


def test_each_class_has_an_image_at_least() -> None:
    labels = torch.tensor([0] * 990 + [1] * 5 + [2] * 5)
    assert torch.bincount(labels[stratified(labels, 0.01, "pets")]).tolist() == [10, 1, 1]


def test_fewer_images_than_classes_are_refused_with_both_numbers() -> None:
    with pytest.raises(
        DataError, match=r"0\.004 of 1,000 images are 4, but pets has 5 classes; use 0\.005 "
    ):
        stratified(LABELS, 0.004, "pets")
    with pytest.raises(DataError, match=r"use 0\.0051 or more"):  # 5 / 991 is 0.00505
        stratified(LABELS[:991], 0.005, "pets")
    stratified(LABELS[:991], 0.0051, "pets")
    with pytest.raises(DataError, match="200 images a class, but class 2 of pets has only 143"):
        stratified(LABELS, 200, "pets")


NAMES = ["cat/a_1.png", "cat/a_2.png", "dog/b_1.png", "dog/twin.png", "cat/twin.png"]
IMAGES = Files(
    [Path("/data/train", name) for name in NAMES], torch.tensor([0, 0, 1, 1, 0]), [1] * 5
)


def written(folder: Path, text: str) -> tuple[Path, str]:
    path = folder / "1percent.txt"
    path.write_text(text)
    return path, hashlib.sha256(text.encode()).hexdigest()


def test_a_list_names_images_with_or_without_their_class(tmp_path: Path) -> None:
    path, digest = written(tmp_path, "b_1.png\n\ndog/twin.png\r\na_1.png\n")
    assert listed(IMAGES, path, digest[:8], "pets").tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a_1.png\nc_9.png\n", r"1 of its 2 images are not training images of pets \(c_9\.png\)"),
        ("twin.png\n", "twin.png is the name of 2 images"),
        ("a_1.png\ncat/a_1.png\n", "listed twice"),
        ("\n", "the list is empty"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path, digest = written(tmp_path, text)
    with pytest.raises(DataError, match=said):
        listed(IMAGES, path, digest, "pets")


def test_another_list_a_missing_one_and_images_without_names_are_refused(tmp_path: Path) -> None:
    path, digest = written(tmp_path, "a_1.png\n")
    with pytest.raises(DataError, match="restore the list"):
        listed(IMAGES, path, "0" * 8, "pets")
    with pytest.raises(DataError, match=r"absent\.txt"):
        listed(IMAGES, tmp_path / "absent.txt", digest, "pets")
    stack = Stack(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]))
    with pytest.raises(DataError, match="have no file names"):
        listed(stack, path, digest, "embedded")


def test_draws_differ_and_the_first_is_the_one_without_a_number() -> None:
    drawn = [stratified(LABELS, 5, "pets", draw).tolist() for draw in range(4)]
    assert drawn[0] == stratified(LABELS, 5, "pets").tolist()
    assert len({tuple(each) for each in drawn}) == 4
    for each in drawn:
        assert torch.bincount(LABELS[torch.tensor(each)]).tolist() == [5] * 5
    assert set(drawn[2]) < set(stratified(LABELS, 9, "pets", 2).tolist())


def test_classes_with_fewer_images_than_a_draw_takes_are_named() -> None:
    labels = torch.tensor([0] * 9 + [1] * 4 + [3] * 2)
    names = [*("ant",) * 9, *("bee",) * 4, *("cat",) * 2]
    paths = [Path(f"/x/{name}/{n}.jpg") for n, name in enumerate(names)]
    check_shots(Files(paths, labels, [1] * 15), 2, "insects")
    said = r"shots: 5 images a class, but 2 of the classes of insects .* \(bee: 4, cat: 2\); use 2 "
    with pytest.raises(DataError, match=said):
        check_shots(Files(paths, labels, [1] * 15), 5, "insects")
    stack = Stack(torch.zeros(15, 3, 2, 2, dtype=torch.uint8), labels)
    with pytest.raises(DataError, match=r"\(1: 4, 3: 2\)"):
        check_shots(stack, 5, "insects")
