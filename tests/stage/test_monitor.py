"""Pictures without labels: pre-trained, and watched on another set, which changes no bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from harness.data.datasets import open_data
from harness.errors import DataError
from harness.report.curves import read_curves
from harness.store import journal
from harness.store.layout import StageFolder
from harness.store.ledger import read_entry

from .tiny import TEXT, final_state, recipe_of, run, same, write

OWN = "data: {name: embedded, images: 80, size: 16}"
PICTURES = "data: {name: pictures, folder: photos, size: 16}"
EVALUATED = TEXT[TEXT.index("knn: ") : TEXT.index("watch: ")]
WATCHED = """\
tasks:
  labelled: {kind: knn, k: [5], queries: 50, data: {name: embedded, images: 60, size: 16}}
"""
WATCH = "watch: {knn_task: labelled, "


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A data root with 40 pictures at two depths."""
    draw = torch.Generator().manual_seed(0)
    for n in range(40):
        path = tmp_path / "data" / "photos" / ("a/b" if n % 2 else "") / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(256, (20, 24, 3), generator=draw, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(path)
    open_data.cache_clear()
    return tmp_path / "data"


def recipe(folder: Path, more: str = WATCHED, watch: str = WATCH) -> Path:
    """The tiny recipe on pictures, in the folder's own subfolder."""
    folder.mkdir(exist_ok=True)
    path = write(folder, old=OWN, new=PICTURES)
    path.write_text(path.read_text().replace(EVALUATED, more).replace("watch: {", watch))
    return path


def monitored(folder: StageFolder) -> list[tuple[float, float]]:
    found = journal.series(journal.read(folder), "knn/top1")
    return [(float(epoch), value) for _, epoch, value in found]


def test_what_is_watched_is_measured_and_changes_nothing(tmp_path: Path, photos: Path) -> None:
    made = recipe(tmp_path / "watched")
    folders = run(made, tmp_path / "runs", data=photos, kinds=("pretrain", "knn"))
    pretrain, result = folders["pretrain"], folders["knn"].result
    assert pretrain.result is not None
    assert result is not None
    seen = monitored(pretrain)
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert seen[-1][1] == result["values"]["knn/top1"]
    assert result["data"]["name"] == "embedded"
    assert "knn/top1" not in pretrain.result["values"]
    assert pretrain.result["data"]["classes"] == 0
    drawn = read_curves(read_entry(pretrain), recipe_of(pretrain))
    assert list(drawn.knn) == seen
    assert not drawn.warnings
    alone = recipe(tmp_path / "alone", more="", watch="watch: {")
    unwatched = run(alone, tmp_path / "others", data=photos, kinds=("pretrain",))["pretrain"]
    assert monitored(unwatched) == []
    assert unwatched.id == pretrain.id
    one, other = final_state(unwatched), final_state(pretrain)
    assert same(one["mechanism"], other["mechanism"])
    assert same(one["optimiser"], other["optimiser"])


def test_values_of_other_data_are_in_no_curve(tmp_path: Path, photos: Path) -> None:
    """Of the same task, which was of other data when the run began."""
    made = recipe(tmp_path / "watched")
    folder = run(made, tmp_path / "runs", data=photos, kinds=("pretrain",))["pretrain"]
    recipe(tmp_path / "watched", more=WATCHED.replace("60", "70"))
    now = run(made, tmp_path / "runs", data=photos, kinds=())["pretrain"]
    assert now.id == folder.id
    later = recipe_of(folder)
    said = later.tasks["labelled"]
    assert said.data is not None
    other = said.model_copy(update={"data": said.data.model_copy(update={"images": 70})})
    later = later.model_copy(update={"tasks": {"labelled": other}})
    found = read_curves(read_entry(folder), later)
    assert found.knn == ()
    assert len(found.warnings) == 1


def test_more_neighbours_than_the_watched_set_has_are_refused(tmp_path: Path, photos: Path) -> None:
    made = recipe(tmp_path / "watched", more=WATCHED.replace("k: [5]", "k: [61]"))
    with pytest.raises(DataError, match="61"):
        run(made, tmp_path / "runs", data=photos, kinds=("pretrain",))
