"""Fine-tuning as a stage: what it learns, from which weights, on which labels."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from gloo import Pool
from PIL import Image

from harness.data.datasets import open_data
from harness.errors import DataError
from harness.model.encoder import build
from harness.recipe.schema import Data
from harness.stage.finetune import Classifier
from harness.store.layout import StageFolder

from .finetuned import TASK, training
from .test_trainable import ALONE, KINDS, recipe_of
from .tiny import final_state, run
from .tiny import recipe_of as recipe_in
from .together import run_stages


def top1(folder: StageFolder, metric: str = "finetune/top1") -> float:
    assert folder.result is not None
    value: float = folder.result["values"][metric]
    return value


def test_it_learns_more_than_a_linear_probe_of_the_random_network(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    linear = "  lin: {kind: linear, epochs: 30, batch: 64, lr: [1.0], drops: [20], views: center}\n"
    recipe.write_text(recipe.read_text() + linear)
    changes = {"epochs": 10, "batch": 32, "lr": 0.1, "head_lr": 1.0}
    sets = [f"tasks.ft.{field}={value}" for field, value in changes.items()]
    folders = run(
        recipe,
        tmp_path / "runs",
        ("optim.epochs=0", "data.images=1000", *sets),
        kinds=(*KINDS, "linear"),
    )
    assert top1(folders["finetune"]) > top1(folders["linear"], "linear/top1") + 15


def test_the_reported_accuracy_is_that_of_the_last_checkpoint(tmp_path: Path) -> None:
    folders = run(recipe_of(tmp_path), tmp_path / "runs", kinds=KINDS)
    state = final_state(folders["finetune"])["model"]
    made = recipe_in(folders["finetune"])
    model = Classifier(build(made.model, 9).backbone, 10, "any")
    model.load_state_dict(state)
    data = open_data(made.data, Path("/nonexistent"))
    x = data.test.load(torch.arange(len(data.test))).center(16)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    with torch.no_grad():
        order = model.eval()((x - mean) / std).argsort(1, descending=True)
    hits = order == data.test.labels.view(-1, 1)
    # rounding may decide one image of 2,000
    assert top1(folders["finetune"]) == pytest.approx(
        100 * hits[:, 0].float().mean().item(), abs=0.11
    )
    expected = 100 * hits[:, :5].any(1).float().mean().item()
    assert top1(folders["finetune"], "finetune/top5") == pytest.approx(expected, abs=0.11)


def test_it_starts_from_the_parents_weights_and_trains_all_layers(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "lr: 0.05", "lr: 1e-30")
    folders = run(recipe, tmp_path / "runs", kinds=KINDS)
    parent = final_state(folders["pretrain"])["mechanism"]
    still = final_state(folders["finetune"])["model"]
    moved = final_state(run(recipe_of(tmp_path), tmp_path / "more", kinds=KINDS)["finetune"])
    names = [name for name in still if name.startswith("backbone.") and still[name].dim() == 4]
    assert len(names) > 6
    for name in names:
        assert torch.equal(still[name], parent[f"query.{name}"])
        assert not torch.equal(moved["model"][name], still[name])


def test_two_processes_report_what_one_reports(gloo: Pool, tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    alone = run(recipe, tmp_path / "alone", kinds=("pretrain", "knn", "finetune"))
    run(recipe, tmp_path / "both", kinds=())
    gloo.run(run_stages, 2, str(recipe), str(tmp_path / "both"), timeout=120)
    both = run(recipe, tmp_path / "both", kinds=())
    assert both["finetune"].result is not None
    assert both["finetune"].result["processes"] == 2
    assert top1(both["finetune"]) == pytest.approx(top1(alone["finetune"]), abs=2)
    loss = "finetune/loss"
    assert top1(both["finetune"], loss) == pytest.approx(top1(alone["finetune"], loss), rel=1e-2)


def test_bf16_trains_with_float32_weights(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "head_lr: 10.0", "head_lr: 10.0, precision: bf16")
    folder = run(recipe, tmp_path / "bf16", kinds=KINDS)["finetune"]
    other = run(recipe_of(tmp_path), tmp_path / "fp32", kinds=KINDS)["finetune"]
    state = final_state(folder)["model"]
    assert {x.dtype for x in state.values() if x.is_floating_point()} == {torch.float32}
    assert top1(folder, "finetune/loss") != top1(other, "finetune/loss")
    assert top1(folder, "finetune/loss") == pytest.approx(top1(other, "finetune/loss"), rel=0.05)


def test_the_list_of_labels_is_among_the_results_inputs(tmp_path: Path) -> None:
    for n in range(48):
        path = tmp_path / "pets" / ("val" if n % 3 == 0 else "train") / "ab"[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (5 * n, 0, 0)).save(path)
    (tmp_path / "few.txt").write_text("".join(f"{n}.png\n" for n in (1, 2, 4, 5)))
    sha256 = hashlib.sha256((tmp_path / "few.txt").read_bytes()).hexdigest()
    named = f"batch: 4, labels_file: few.txt, labels_sha256: '{sha256[:12]}'"
    recipe = recipe_of(tmp_path, "batch: 16", named)
    text = recipe.read_text()
    recipe.write_text(
        text.replace("{name: embedded, images: 80", "{name: imagefolder, folder: pets")
    )
    folder = run(recipe, tmp_path / "runs", ("optim.epochs=0",), kinds=KINDS, data=tmp_path)[
        "finetune"
    ]
    assert folder.result is not None
    assert folder.result["labelled"] == 4
    said = folder.result["inputs"]["labels"]
    assert (said["name"], said["sha256"]) == ("few.txt", sha256)


def test_labels_bound_what_it_trains_on() -> None:
    task = {**TASK, "labels": 2, "batch": 10}
    loop = training(ALONE, task)
    data = open_data(Data(name="embedded", images=40, size=8), Path())
    drawn = loop.work.images.labels  # type: ignore[attr-defined]
    assert torch.bincount(drawn).tolist() == [2] * data.classes
    again = training(ALONE, task, trial=1)
    assert torch.equal(again.work.images.stack, loop.work.images.stack)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": 0.1}, r"tasks\.ft: labels: 0\.1 of 40 images are 4, but .* 10 classes"),
        ({"labels": 5}, r"tasks\.ft: labels: 5 images a class, but class \d of embedded has only"),
        ({"labels": 1}, r"tasks\.ft\.batch: 16 images per step, but only 10 images"),
        ({"batch": 64}, r"tasks\.ft\.batch: 64 images per step, but only 40 images"),
    ],
)
def test_too_few_images_are_refused(change: dict[str, float], said: str) -> None:
    with pytest.raises(DataError, match=said):
        training(ALONE, {**TASK, **change})
