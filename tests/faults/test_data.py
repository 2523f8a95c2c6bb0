"""Images that are damaged or vanish under a run."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from torchvision.io import write_jpeg

from faults.attempts import RECIPE, Reference, RunningAttempt, judge, make, undisturbed
from faults.conftest import KILLS, QUICK
from faults.table import Row
from faults.test_disk import reached
from harness.data.embedded import generate
from harness.errors import DataError

pytestmark = pytest.mark.faults
TEXT = RECIPE.replace(
    "{name: embedded, images: 96, size: 16}", "{name: imagefolder, folder: pets, size: 16}"
)
CASES = max(QUICK, KILLS // 40)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 96 and 50 small JPEG images of four classes."""
    root = tmp_path_factory.mktemp("data")
    for split, count in (("train", 96), ("val", 50)):
        images, labels = generate("train" if split == "train" else "test", count, 24)
        for n, (image, label) in enumerate(zip(images, labels % 4, strict=True)):
            place = root / "pets" / split / f"class{int(label)}"
            place.mkdir(parents=True, exist_ok=True)
            write_jpeg(image, str(place / f"{n:03d}.jpg"))
    return root


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Reference:
    return undisturbed(tmp_path_factory.mktemp("whole") / "one", text=TEXT, data=data)


Harm = Callable[[Path, random.Random], Callable[[], object]]
"""Does it to the data root, and returns what undoes it."""


def _changed(path: Path, content: bytes) -> Callable[[], object]:
    before = path.read_bytes()
    path.write_bytes(content)
    return lambda: path.write_bytes(before)


def _image(root: Path, draw: random.Random) -> Path:
    return draw.choice(sorted((root / "pets" / "train").rglob("*.jpg")))


def corrupted(root: Path, draw: random.Random) -> Callable[[], object]:
    path = _image(root, draw)
    return _changed(path, draw.randbytes(path.stat().st_size))


def cut(root: Path, draw: random.Random) -> Callable[[], object]:
    path = _image(root, draw)
    return _changed(path, path.read_bytes()[: draw.randrange(path.stat().st_size)])


def vanished(root: Path, draw: random.Random) -> Callable[[], object]:
    path = _image(root, draw)
    content = path.read_bytes()
    path.unlink()
    return lambda: path.write_bytes(content)


def all_gone(root: Path, _: random.Random) -> Callable[[], object]:
    moved = (root / "pets").rename(root / "moved")
    return lambda: moved.rename(root / "pets")


HARMS = {
    "an image overwritten with noise": corrupted,
    "an image cut": cut,
    "an image removed": vanished,
    "the data removed": all_gone,
}


@pytest.mark.parametrize("fault", HARMS)
def test_under_a_run(
    tmp_path: Path, data: Path, whole: Reference, row: Row, seed: int, fault: str
) -> None:
    """In the middle of an attempt, which may have read what it needs; the next one must notice."""
    row.fault, row.seed = f"{fault}, under a run", seed
    draw = random.Random(f"{seed} {fault}")
    for number in range(CASES):
        folder = make(tmp_path / f"{number}", TEXT)
        row.cases, row.runs = row.cases + 1, row.runs + 1
        attempt = RunningAttempt(folder, data=data)
        step = draw.randrange(8, 50)
        assert attempt.until(partial(reached, folder, step)), attempt.said
        undo = HARMS[fault](data, draw)
        try:
            if not attempt.until(partial(reached, folder, step + 12)):
                told = attempt.end() == [DataError.exit_code]
            else:
                attempt.kill()
                attempt.end()
                attempt = RunningAttempt(folder, data=data)
                told = attempt.end() == [DataError.exit_code]
        finally:
            undo()
        assert folder.result is None
        attempt = RunningAttempt(folder, data=data)
        assert attempt.end() == [0], attempt.said
        row.recovered += told
        judged = judge(folder, whole)
        row.identical += judged.identical
        row.lost += judged.lost
    assert row.whole
