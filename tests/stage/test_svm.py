"""VOC classification as stages: with all labels and low-shot, on scenes and on VOC's files."""

from __future__ import annotations

import shutil
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
import torch
from data.voc_layout import annotation, voc2007
from gloo import Pool
from sklearn.svm import LinearSVC

from harness.data.multi_label import open_multi_label
from harness.data.voc_boxes import CLASSES
from harness.data.voc_labels import ABSENT, DIFFICULT, PRESENT
from harness.data_check import lacking_later
from harness.errors import DataError
from harness.evaluate.average_precision import area, eleven_points
from harness.evaluate.features import extract
from harness.evaluate.svm import Svms
from harness.recipe.load import load_recipe
from harness.recipe.svm import LabelledImages
from harness.runtime.world import World
from harness.stage.svm import aps
from harness.stage.svm_low_shot import drawn
from harness.store import journal
from harness.store.layout import StageFolder

from .test_evaluation import trained
from .tiny import run, write
from .together import run_stages

KNN = "knn: {k: [5, 1], temperature: 0.1, queries: 50}"
SCENES = "images: {name: scenes, images: 100, tested: 80, size: 24}"
FULL = f"kind: svm, {SCENES}, c: [0.01, 1.0]"
LOW = f"kind: svm_low_shot, {SCENES}, shots: [4, 1], draws: 3"


def recipe(folder: Path, task: str) -> Path:
    return write(folder, old=KNN, new=f"{KNN}\ntasks: {{voc: {{{task}}}}}")


def measured(path: Path, runs: Path, **more: Any) -> Any:
    kind = next(iter(load_recipe(path, []).tasks.values())).kind
    more = {"kinds": ("pretrain", kind), **more}
    folder = run(path, runs, **more)[kind]
    assert folder.result is not None
    return folder.result


def features(runs: Path, asked: LabelledImages, root: Path, size: int) -> tuple[Any, Any, Any]:
    """(data, features of the training images, of the test images), extracted here."""
    (pretrained,) = runs.glob("tiny-s0.pretrain-*")
    data = open_multi_label(asked, root, size)
    encoder = trained(StageFolder(pretrained)).to(memory_format=torch.channels_last)
    world = World.alone(torch.device("cpu"))
    x, test = (
        torch.nn.functional.normalize(
            extract(
                encoder,
                data.images,
                of,
                size=size,
                layer="backbone",
                precision="fp32",
                world=world,
            ),
            dim=1,
        )
        .double()
        .numpy()
        for of in (data.images.train, data.images.test)
    )
    return data, x, test


def plain_ap(x: Any, shown: Any, test: Any, answers: Any, c: float) -> float:
    model = LinearSVC(C=c, class_weight={1: 2, 0: 1}, dual=True, max_iter=2000, random_state=0)
    scores = model.fit(x, shown).decision_function(test)
    return 100 * eleven_points(torch.from_numpy(scores), answers)


def scenes() -> LabelledImages:
    return LabelledImages(name="scenes", images=100, tested=80, size=24)


def test_with_all_labels_it_is_the_mean_ap_of_an_svm_for_each_class(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    result = measured(recipe(tmp_path, FULL), runs)
    data, x, test = features(runs, scenes(), tmp_path, 24)
    found = []
    for n, name in enumerate(data.classes):
        said = result["svm"][name]
        assert said["c"] == (0.01, 1.0)[int(np.argmax(said["validation"]))]
        shown, answers = data.train[:, n] == PRESENT, data.test[:, n] == PRESENT
        found.append(plain_ap(x, shown.int().numpy(), test, answers, said["c"]))
        assert said["ap"] == pytest.approx(found[-1], abs=1.5)
        assert result["values"][f"svm/ap@{name}"] == said["ap"]
    values = result["values"]
    assert values["svm/map"] == pytest.approx(mean(found), abs=0.3)
    assert values["svm/map_area"] == pytest.approx(
        mean(each["ap_area"] for each in result["svm"].values())
    )
    prevalence = 100 * float((data.test == PRESENT).double().mean())
    assert values["svm/map"] > prevalence + 3
    assert result["images"]["fingerprint"] == data.images.fingerprint
    (folder,) = runs.glob("tiny-s0.voc-*")
    (record,) = journal.read(StageFolder(folder))
    assert {name: record[name] for name in values} == values
    assert record["protocol"]["svm"] == result["svm"]


def test_low_shot_is_the_mean_over_draws_with_its_interval(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    result = measured(recipe(tmp_path, LOW), runs)
    data, x, test = features(runs, scenes(), tmp_path, 24)
    values = result["values"]
    for k, variant in ((4, ""), (1, "@k1")):
        said = result["svm_low_shot"][str(k)]
        for draw in range(3):
            found = []
            for n, name in enumerate(data.classes):
                index = drawn(data.train[:, n], k, 9 * k, "scenes", draw, name)
                shown = (data.train[index, n] == PRESENT).int().numpy()
                assert (len(index), shown.sum()) == (10 * k, k)
                answers = data.test[:, n] == PRESENT
                found.append(plain_ap(x[index.numpy()], shown, test, answers, 1.0))
            assert said["map"][draw] == pytest.approx(mean(found), abs=0.5)
        assert values[f"svm_low_shot/map{variant}"] == pytest.approx(mean(said["map"]))
        assert values[f"svm_low_shot/map_area{variant}"] == pytest.approx(mean(said["map_area"]))
        half = 4.302653 * stdev(said["map"]) / np.sqrt(3)
        width = values[f"svm_low_shot/half_width_over_draws{variant}"]
        assert width == pytest.approx(half, rel=1e-6)
    assert list(result["svm_low_shot"]["4"]["c"]) == list(data.classes)


def test_a_draw_is_a_function_of_its_names(tmp_path: Path) -> None:
    labels = open_multi_label(scenes(), tmp_path, 24).train[:, 0].clone()
    labels[(labels == ABSENT).nonzero()[:3, 0]] = DIFFICULT
    one = drawn(labels, 5, 40, "scenes", 1, "disc")
    assert torch.equal(one, drawn(labels, 5, 40, "scenes", 1, "disc"))
    assert set(drawn(labels, 2, 9, "scenes", 1, "disc").tolist()) < set(one.tolist())
    assert not torch.equal(one, drawn(labels, 5, 40, "scenes", 2, "disc"))
    assert not torch.equal(one, drawn(labels, 5, 40, "scenes", 1, "ring"))
    assert labels[one].tolist().count(DIFFICULT) == 0


def test_networks_and_seeds_share_the_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.stage import svm_low_shot as module

    seen: list[tuple[int, ...]] = []

    def watched(*given: Any) -> Any:
        seen.append(tuple(drawn(*given).tolist()))
        return drawn(*given)

    monkeypatch.setattr(module, "drawn", watched)
    path = recipe(tmp_path, LOW)
    for sets in ((), ("seed=1", "optim.epochs=0")):
        run(path, tmp_path / "runs", sets, kinds=("pretrain", "svm_low_shot"))
    assert len(seen) == 2 * 60
    assert seen[:60] == seen[60:]


@pytest.mark.parametrize("task", [FULL, f"{LOW}, c: [0.1, 1.0]".replace("[4, 1]", "[4, 2]")])
def test_it_resumes_behind_what_it_has_measured(tmp_path: Path, task: str) -> None:
    path, runs = recipe(tmp_path, task), tmp_path / "runs"
    expected = measured(path, tmp_path / "whole")
    kind = "svm" if task == FULL else "svm_low_shot"
    run(path, runs, kinds=("pretrain",))
    asked = iter(range(1000))
    folder = run(path, runs, kinds=(kind,), stopping=lambda: next(asked) >= 6)[kind]
    assert folder.result is None
    (kept,) = folder.checkpoints.glob("*.pt")
    assert 0 < int(kept.name.split("-")[1]) < 6
    again = measured(path, runs, kinds=(kind,))
    assert (again["values"], again[kind]) == (expected["values"], expected[kind])


def test_two_processes_find_the_same(gloo: Pool, tmp_path: Path) -> None:
    path, runs = recipe(tmp_path, LOW), tmp_path / "runs"
    gloo.run(run_stages, 2, str(path), str(runs), timeout=120)
    two = measured(path, runs, kinds=())
    (folder,) = runs.glob("tiny-s0.voc-*")
    shutil.rmtree(folder)
    one = measured(path, runs, kinds=("svm_low_shot",))
    assert (two["processes"], one["processes"]) == (2, 1)
    for name, value in one["values"].items():
        assert two["values"][name] == pytest.approx(value, abs=0.5)


def test_vocs_files_are_read_and_difficult_images_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, int] = {}
    real = Svms.fit

    def watched(svms: Svms, x: Any, *given: Any, **more: Any) -> Any:
        seen[more["stream"][-1]] = len(x)
        return real(svms, x, *given, **more)

    monkeypatch.setattr(Svms, "fit", watched)
    folder = voc2007(tmp_path, 130, 120)
    annotation(folder, "000001", ("cat", 1), ("dog", 0))
    path, runs = recipe(tmp_path, "kind: svm, images: {size: 24}, c: [1.0]"), tmp_path / "runs"
    result = measured(path, runs, data=tmp_path)
    assert list(result["svm"]) == list(CLASSES)
    assert result["images"]["train"] == 130
    assert seen == dict.fromkeys(CLASSES, 130) | {"cat": 129}
    data, x, test = features(runs, LabelledImages(size=24), tmp_path, 24)
    n = CLASSES.index("cat")
    known = data.train[:, n] != DIFFICULT
    assert (~known).nonzero().tolist() == [[0]]
    shown = (data.train[known, n] == PRESENT).int().numpy()
    expected = plain_ap(x[known.numpy()], shown, test, data.test[:, n] == PRESENT, 1.0)
    assert result["svm"]["cat"]["ap"] == pytest.approx(expected, abs=1.5)


def test_difficult_test_images_are_not_ranked(tmp_path: Path) -> None:
    data = open_multi_label(scenes(), tmp_path, 24)
    scores = torch.randn(80, generator=torch.Generator().manual_seed(1)).double()
    labels = data.test.clone()
    labels[:30, 0] = DIFFICULT
    made: Any = type("Made", (), {"scores": scores})()
    changed: Any = type("Data", (), {"test": labels})()
    shown = labels[30:, 0] == PRESENT
    found = aps(changed, 0, made)
    assert found == (100 * eleven_points(scores[30:], shown), 100 * area(scores[30:], shown))
    assert found != aps(data, 0, made)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (
            LOW.replace("images: 100", "images: 40"),
            r"tasks\.voc\.shots: k = 4 takes 4 .* that show .*: 3",
        ),
        (LOW.replace("[4, 1]", "[9]"), r"k = 9 takes 81 training images that do not show"),
        (FULL.replace("100", "40") + ", folds: 20", r"tasks\.voc\.folds: 20 folds .* disc: \d"),
        (
            FULL.replace("80", "2"),
            r"tasks\.voc\.images: of the 2 test images of scenes no image shows",
        ),
    ],
)
def test_what_cannot_be_learned_is_named(tmp_path: Path, task: str, said: str) -> None:
    path = recipe(tmp_path, task)
    kind = next(iter(load_recipe(path, []).tasks.values())).kind
    with pytest.raises(DataError, match=said):
        run(path, tmp_path / "runs", kinds=("pretrain", kind))


def test_missing_files_are_reported_before_training(tmp_path: Path) -> None:
    made = load_recipe(recipe(tmp_path, "kind: svm_low_shot"), [])
    (said,) = lacking_later([made], tmp_path)
    assert "tasks.voc.images: voc2007 missing: no JPEGImages and no Annotations" in said
    voc2007(tmp_path, 2, 2)
    assert lacking_later([made], tmp_path) == []
    (tmp_path / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "test.txt").unlink()
    (said,) = lacking_later([made], tmp_path)
    assert "no ImageSets/Main/test.txt in" in said
    assert lacking_later([load_recipe(recipe(tmp_path, FULL), [])], tmp_path) == []
