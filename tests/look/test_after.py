"""What finished stages show: of the run's own pipeline and protocol, at no result's cost."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from stage.tiny import final_state, same, write
from stage.together import Notes
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from harness.launch.rank import run_as
from harness.launch.stage_record import describe
from harness.look import after, neighbours
from harness.methods.moco.method import MoCo
from harness.plan import make_plan
from harness.runtime.environment import SINGLE
from harness.stage.execute import Job
from harness.stage.reporter import Silent
from harness.store.edition import RUNNER, closure
from harness.store.layout import StageFolder, stage_folder
from harness.store.look import FILE, FOLDER, Album, Confusion, Histogram, Look, Plane, read

CPU = torch.device("cpu")


def run(
    recipe: Path, runs: Path, *sets: str, reporter: Silent | None = None
) -> dict[str, StageFolder]:
    """Pre-training and kNN as a user runs them; their folders by kind."""
    found = {}
    for stage in make_plan(recipe, ("linear=null", *sets), runs).stages:
        folder = found[stage.kind] = stage_folder(runs, stage.id)
        folder.create(describe(stage, "tiny"))
        job = Job(folder.path, Path("/nonexistent"), "cpu")
        run_as(SINGLE, job, reporter or Silent(), lambda: False)
    return found


def shown(folder: StageFolder) -> Look:
    found = read(folder.path, folder.result or {})
    assert found is not None
    return found


@pytest.fixture(scope="module")
def seen() -> list[tuple[Tensor, ...]]:
    """The views of the training steps of `stages`."""
    return []


@pytest.fixture(scope="module")
def stages(
    tmp_path_factory: pytest.TempPathFactory, seen: list[tuple[Tensor, ...]]
) -> dict[str, StageFolder]:
    folder = tmp_path_factory.mktemp("look")
    forward = MoCo.forward

    def noting(self: MoCo, views: tuple[Tensor, ...], *more: object) -> object:
        seen.append(tuple(view.clone() for view in views))
        return forward(self, views, *more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MoCo, "forward", noting)
        return run(write(folder), folder / "runs")


def test_the_views_are_those_that_the_network_was_trained_on(
    stages: dict[str, StageFolder], seen: list[tuple[Tensor, ...]]
) -> None:
    album = shown(stages["pretrain"]).of(Album)["views"]
    assert album.columns == ("image", "view 1", "view 2")
    assert len(album.rows) == 6
    for n, (_, row) in enumerate(album.rows):
        for thumbnail, view in zip(row[1:], seen[0], strict=True):
            pixels = pil_to_tensor(Image.open(io.BytesIO(thumbnail.png))).float()
            wanted = (view[n] * 0.25 + 0.5) * 255  # the normalisation of embedded images
            assert float((pixels - wanted).abs().max()) < 1
        assert row[0].png != row[1].png != row[2].png


def test_similarities_are_of_views_and_of_the_stored_keys(stages: dict[str, StageFolder]) -> None:
    histogram = shown(stages["pretrain"]).of(Histogram)["similarities"]
    (_, positives), (name, negatives) = histogram.series
    assert "50 stored keys" in name
    for shares in (positives, negatives):
        assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert mean(histogram, positives) > mean(histogram, negatives) + 0.1


def mean(histogram: Histogram, shares: tuple[float, ...]) -> float:
    return sum(share * edge for share, edge in zip(shares, histogram.edges, strict=False))


def test_the_confusions_are_those_of_the_reported_accuracy(stages: dict[str, StageFolder]) -> None:
    result = stages["knn"].result
    assert result is not None
    confusion = shown(stages["knn"]).of(Confusion)["confusion"]
    right = sum(row[n] for n, row in enumerate(confusion.counts))
    assert sum(map(sum, confusion.counts)) == 50
    assert 100 * right / 50 == result["values"]["knn/top1"]


def test_neighbours_are_the_nearest_and_right_ones_stand_first(
    stages: dict[str, StageFolder],
) -> None:
    album = shown(stages["knn"]).of(Album)["neighbours"]
    recognised = ["recognised" in row[0].below for _, row in album.rows]
    assert recognised == [True] * 3 + [False] * 3
    for _, row in album.rows:
        similar = [float(each.below.split()[-1]) for each in row[1:]]
        assert similar == sorted(similar, reverse=True)
        own = row[0].below.partition(":")[0]
        assert all(each.below.startswith("✓") == (own in each.below) for each in row[1:])


def test_the_plane_has_a_point_for_each_test_image(stages: dict[str, StageFolder]) -> None:
    plane = shown(stages["knn"]).of(Plane)["plane"]
    assert len(plane.points) == 50
    across, up = ([point[axis] for point in plane.points] for axis in (0, 1))
    assert sum(x * x for x in across) > sum(y * y for y in up) > 0
    assert sum(across) == pytest.approx(0, abs=0.01)


def test_switched_off_nothing_is_kept_and_every_number_is_the_same(
    stages: dict[str, StageFolder], tmp_path: Path
) -> None:
    other = run(write(tmp_path), tmp_path / "runs", "watch.look=false")
    for kind, folder in stages.items():
        assert other[kind].id == folder.id
        assert not (other[kind].path / FILE).exists()
        assert not (other[kind].path / FOLDER).exists()
        assert (folder.result or {})["values"] == (other[kind].result or {})["values"]
    assert same(final_state(stages["pretrain"]), final_state(other["pretrain"]))


def test_a_network_that_was_not_trained_shows_no_views(tmp_path: Path) -> None:
    found = run(write(tmp_path), tmp_path / "runs", "optim.epochs=0", "contrast.shuffle=true")
    assert not (found["pretrain"].path / FILE).exists()
    assert set(shown(found["knn"]).of(Confusion)) == {"confusion"}


def test_a_diverged_run_shows_nothing(tmp_path: Path) -> None:
    notes = Notes()
    found = run(write(tmp_path), tmp_path / "runs", "optim.lr=1e30", "knn=null", reporter=notes)
    assert (found["pretrain"].result or {})["state"] == "diverged"
    assert not (found["pretrain"].path / FILE).exists()
    assert notes.told == []


def copied(stages: dict[str, StageFolder], runs: Path) -> Job:
    """The kNN stage in another run root, without what it shows."""
    import shutil

    for folder in stages.values():
        shutil.copytree(folder.path, runs / folder.id, ignore=shutil.ignore_patterns(FILE, FOLDER))
    return Job(runs / stages["knn"].id, Path("/nonexistent"), "cpu")


def test_features_that_are_not_finite_cost_the_pictures_alone(
    stages: dict[str, StageFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, notes = copied(stages, tmp_path), Notes()
    encoder = neighbours.frozen.encoder

    def broken(*said: object) -> object:
        made = encoder(*said)  # type: ignore[arg-type]
        with torch.no_grad():
            next(made.parameters()).fill_(float("nan"))
        return made

    monkeypatch.setattr(neighbours.frozen, "encoder", broken)
    after.keep_look(job, CPU, notes, lambda: False)
    (told,) = notes.told
    assert "not finite" in told
    assert not (job.folder / FILE).exists()
    assert StageFolder(job.folder).result == stages["knn"].result


def test_a_request_to_stop_is_followed_without_a_word(
    stages: dict[str, StageFolder], tmp_path: Path
) -> None:
    job, notes = copied(stages, tmp_path), Notes()
    after.keep_look(job, CPU, notes, lambda: True)
    assert notes.told == []
    assert not (job.folder / FILE).exists()


def test_what_is_too_large_is_sampled_and_says_so(
    stages: dict[str, StageFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = copied(stages, tmp_path)
    for name, value in (("WHOLE", 0), ("BANK", 60), ("QUERIES", 20), ("CLASSES", 4)):
        monkeypatch.setattr(neighbours, name, value)
    monkeypatch.setattr(neighbours, "CONFUSED", 3)
    monkeypatch.setattr(neighbours, "GROUPS", 5)
    after.keep_look(job, CPU, Silent(), lambda: False)
    found = shown(StageFolder(job.folder))
    confusion, plane = found.of(Confusion)["confusion"], found.of(Plane)["plane"]
    assert sum(map(sum, confusion.counts)) == 20
    assert len(confusion.classes) == 4
    assert "sample of 20 test images" in confusion.about
    assert "60 training images" in confusion.about
    assert "60" in found.of(Album)["neighbours"].about
    assert len(plane.groups) == 5


def test_nothing_that_decides_a_number_knows_of_it() -> None:
    deciding: Callable[..., dict[str, Path]] = closure
    names = deciding(RUNNER, "harness.stage.pretrain", "harness.stage.knn", "harness.stage.linear")
    assert len(names) > 30
    assert not any(name.startswith("harness.look") for name in names)
