"""Inputs of folders without train and val: any change of a name or a size is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import input_notes, inputs
from harness.inputs import Inputs
from harness.recipe.schema import Data

PICTURES = Data(name="pictures", folder="photos", size=16)
CLASSES = Data(name="imagefolder", folder="photos", split=0.5, size=16)


@pytest.fixture(params=[PICTURES, CLASSES], ids=["pictures", "classes"])
def data(request: pytest.FixtureRequest) -> Data:
    found: Data = request.param
    return found


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a/1.jpg", "a/2.jpg", "b/deep/1.jpg", "b/2.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "runs").mkdir()
    return tmp_path / "photos"


def now(photos: Path, data: Data, *, again: bool = False) -> dict[str, object]:
    """What is there: as a stage records it or, `again`, as it is compared with that later."""
    here = Inputs(photos.parent, photos.parent / "runs")
    said = here.data(data)
    assert said is not None
    found = Inputs(photos.parent, photos.parent / "runs")("data", said) if again else said
    assert found is not None
    return found


@pytest.mark.parametrize("few", [0, 20_000])
def test_what_changed_is_seen(
    photos: Path, data: Data, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "FEW", few)
    monkeypatch.setattr(input_notes, "SETTLED_NS", 0)
    seen = [now(photos, data)]
    assert seen[0]["images"] == 4
    assert now(photos, data, again=True)["fingerprint"] == seen[0]["fingerprint"]
    (photos / "b" / "deep" / "1.jpg").rename(photos / "b" / "deep" / "3.jpg")
    seen.append(now(photos, data, again=True))
    (photos / "a" / "3.jpg").write_bytes(b"new")
    seen.append(now(photos, data, again=True))
    (photos / "broken.txt").write_text("a/3.jpg\n")
    seen.append(now(photos, data, again=True))
    assert len({said["fingerprint"] for said in seen[:3]}) == 3
    assert seen[3]["fingerprint"] == seen[1]["fingerprint"]


def test_a_folder_of_another_depth_is_other_pictures(photos: Path) -> None:
    before = now(photos, PICTURES)
    (photos / "b").rename(photos / "c")
    assert now(photos, PICTURES)["fingerprint"] != before["fingerprint"]


def test_contents_of_small_folders_are_compared(photos: Path, data: Data) -> None:
    before = now(photos, data)
    (photos / "a" / "1.jpg").write_bytes(b"A/1.JPG")
    after = now(photos, data)
    assert before["fingerprint"] == after["fingerprint"]
    assert before["contents"] != after["contents"]
