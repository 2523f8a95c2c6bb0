"""Pre-training from beginning to end: its journal, its resumption, its failures."""

import itertools
import math
import random
import threading
import time
from collections.abc import Container, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from harness.data.loader import Loader
from harness.errors import DataError, DiskError, StoreError
from harness.methods.moco.method import MoCo
from harness.runtime import checkpoint
from harness.stage import pretrain
from harness.stage.execute import _editions
from harness.store import journal
from harness.store.attempt import begin
from harness.store.layout import StageFolder
from harness.store.ledger import read_entry

from .tiny import begin as begin_run
from .tiny import final_state, run, same, write

STEPS = 15  # 3 epochs of 80 // 16
EMBEDDED = "data: {name: embedded, images: 80, size: 16}"


def comparable(records: list[journal.Record]) -> list[journal.Record]:
    """The records without what no two runs share: times."""
    return [
        {k: v for k, v in record.items() if k not in ("t", "train/images_per_s")}
        for record in records
    ]


def one_of(looks: Iterator[int], stops: Container[int]) -> bool:
    """Whether this look is one at which the run stops."""
    return next(looks) in stops


def test_it_reports_the_last_monitored_accuracy_not_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the first, nor a mean; the same after a restart behind the best."""
    for name, stops in (("whole", 0), ("resumed", 12)):
        seen = iter([30.0, 50.0, 40.0])
        fake = lambda *_, seen=seen, **__: {"knn/top1": next(seen)}  # noqa: E731
        monkeypatch.setattr(pretrain, "measure", fake)
        recipe = write(tmp_path, old="log_steps: 4", new="log_steps: 4, health_epochs: 0")
        looks = itertools.count(1)
        folders = run(
            recipe,
            tmp_path / name,
            kinds=("pretrain",),
            stopping=partial(one_of, looks, {stops}),
        )
        result = run(recipe, tmp_path / name, kinds=("pretrain",))["pretrain"].result
        assert result is not None
        assert result["values"]["knn/top1"] == 40.0
        assert len(folders["pretrain"].attempts()) == (2 if stops else 1)
        assert read_entry(folders["pretrain"]).state == "finished"


def test_a_run_leaves_each_step_once_and_its_outcome(tmp_path: Path) -> None:
    folder = run(write(tmp_path), tmp_path / "runs", kinds=("pretrain",))["pretrain"]
    records = journal.read(folder)
    losses = journal.series(records, "train/loss")
    assert [step for step, _, _ in losses] == list(range(1, STEPS + 1))
    assert [step for step, _, _ in journal.series(records, "knn/top1")] == [5, 10, 15]
    rates = [record["train/lr"] for record in records if "train/lr" in record]
    expected = [0.05 * 0.5 * (1 + math.cos(math.pi * e / 3)) for e in range(3)]
    assert rates == pytest.approx(list(itertools.chain(*([e] * 5 for e in expected))))
    result = folder.result
    assert result is not None
    assert result["state"] == "finished"
    assert result["step"] == STEPS
    last_epoch = [loss for _, _, loss in losses[-5:]]
    assert result["values"]["train/loss"] == pytest.approx(sum(last_epoch) / 5)
    correct = [value for _, _, value in journal.series(records, "pretext/top1")][-5:]
    assert result["values"]["pretext/top1"] == pytest.approx(sum(correct) / 5)
    assert result["stage"] == folder.id
    assert result["journal"] == {"0001": list(journal.mark_of(folder.attempts()[0]))}
    assert len(checkpoint.listed(folder.checkpoints)) == 2


def test_stopping_and_going_on_changes_nothing(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    whole = run(recipe, tmp_path / "whole", kinds=("pretrain",))["pretrain"]
    for _ in range(5):  # every attempt is stopped after its first few steps
        steps = itertools.count(1)
        run(
            recipe,
            tmp_path / "parts",
            kinds=("pretrain",),
            stopping=partial(one_of, steps, range(4, STEPS)),
        )
    parts = run(recipe, tmp_path / "parts", kinds=("pretrain",))["pretrain"]
    assert len(parts.attempts()) == 4
    assert same(final_state(whole), final_state(parts))
    assert comparable(journal.read(whole)) == comparable(journal.read(parts))
    assert whole.result is not None
    assert parts.result is not None
    assert whole.result["values"] == parts.result["values"]


def test_an_attempt_whose_steps_were_all_done_again_is_no_part_of_the_result(
    tmp_path: Path,
) -> None:
    """The code was mended after an attempt that had not come to its first checkpoint."""
    folder = StageFolder(tmp_path / "stage")
    folder.create({})
    for name, first in (("lost", 1), ("begun", 1), ("ours", 3)):
        attempt = begin(folder)
        attempt.describe({"edition": name})
        attempt.record([{"step": step} for step in (first, first + 1)])
        attempt.end("failed")
    assert _editions(attempt, "present") == ["begun", "ours", "present"]


def test_killed_at_any_instant_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    recipe = write(tmp_path, old="epochs: 3, batch", new="epochs: 40, batch")
    whole = run(recipe, tmp_path / "whole", kinds=("pretrain",))["pretrain"]
    draw = random.Random(0)
    path = tmp_path / "killed" / whole.id
    for _ in range(6):
        before = len(list(path.glob("attempts/*")))
        process = begin_run(recipe, tmp_path / "killed", "pretrain")
        while process.is_alive() and len(list(path.glob("attempts/*"))) == before:
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.3))
        process.kill()
        process.join()
    killed = run(recipe, tmp_path / "killed", kinds=("pretrain",))["pretrain"]
    assert len(killed.attempts()) >= 3
    assert same(final_state(whole), final_state(killed))
    assert comparable(journal.read(whole)) == comparable(journal.read(killed))


def test_steps_go_on_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    """The first one's writer waits for the steps after it to be asked whether to stop."""
    recipe = write(tmp_path)
    whole = run(recipe, tmp_path / "whole", kinds=("pretrain",))["pretrain"]
    real, gone_on, steps = checkpoint.save, threading.Event(), itertools.count(1)

    def slow(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
        assert gone_on.wait(60)
        return real(folder, step, state, keep)

    def stopping() -> bool:
        if next(steps) == 4:  # checkpoints are due after steps 2 and 4
            gone_on.set()
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", slow)
        runs = tmp_path / "slow"
        folder = run(recipe, runs, kinds=("pretrain",), stopping=stopping)["pretrain"]
    assert same(final_state(whole), final_state(folder))
    assert comparable(journal.read(whole)) == comparable(journal.read(folder))


def test_a_stop_waits_for_its_checkpoint(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    real, steps = checkpoint.save, itertools.count(1)

    def slow(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
        time.sleep(0.3)
        return real(folder, step, state, keep)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", slow)
        runs = tmp_path / "runs"
        folder = run(recipe, runs, kinds=("pretrain",), stopping=lambda: next(steps) >= 3)
    assert checkpoint.listed(folder["pretrain"].checkpoints)[0][0] == 3


@pytest.mark.parametrize("failing", [4, 5, STEPS])
def test_a_checkpoint_that_cannot_be_written_ends_the_run(tmp_path: Path, failing: int) -> None:
    """At a later step, when asked to stop, or at the end; and the next life goes on as ever."""
    recipe = write(tmp_path)
    whole = run(recipe, tmp_path / "whole", kinds=("pretrain",))["pretrain"]
    real, steps = checkpoint.save, itertools.count(1)

    def full(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
        if step == failing:
            raise DiskError("the disk is full")
        return real(folder, step, state, keep)

    runs, kinds = tmp_path / "runs", ("pretrain",)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        with pytest.raises(DiskError, match="full"):
            run(recipe, runs, kinds=kinds, stopping=lambda: failing == 5 and next(steps) >= 5)
    assert StageFolder(runs / whole.id).result is None
    ended = next((runs / whole.id).glob("attempts/0001/ended.json")).read_text()
    assert "failed" in ended
    assert "the disk is full" in ended
    again = run(recipe, runs, kinds=kinds)["pretrain"]
    assert same(final_state(whole), final_state(again))
    assert comparable(journal.read(whole)) == comparable(journal.read(again))


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    whole = run(recipe, tmp_path / "whole", kinds=("pretrain",))["pretrain"]
    steps = itertools.count(1)
    kinds = ("pretrain",)
    run(recipe, tmp_path / "cut", kinds=kinds, stopping=lambda: next(steps) >= 9)
    runs = tmp_path / "cut"
    (_, newest), *_ = checkpoint.listed(runs / whole.id / "checkpoints")
    newest.write_bytes(newest.read_bytes()[:-100])
    cut = run(recipe, runs, kinds=kinds)["pretrain"]
    assert same(final_state(whole), final_state(cut))
    assert comparable(journal.read(whole)) == comparable(journal.read(cut))


def test_a_loss_that_is_not_finite_is_a_result(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    real = MoCo.forward

    def broken(self: MoCo, views: Any, index: torch.Tensor, step: int) -> object:
        loss, correct = real(self, views, index, step)
        return (loss * math.nan if step == 6 else loss), correct

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MoCo, "forward", broken)
        folder = run(recipe, tmp_path / "runs", kinds=("pretrain",))["pretrain"]
    result = folder.result
    assert result is not None
    assert result["state"] == "diverged"
    assert result["step"] == 7
    assert "the loss was nan at step 7" in result["message"]
    steps = [step for step, _, _ in journal.series(journal.read(folder), "train/loss")]
    assert steps == list(range(1, 8))
    assert all(step < 7 for step, _ in checkpoint.listed(folder.checkpoints))


@pytest.mark.parametrize(
    ("contrast", "views"),
    [("kind: moco, queue: 50, momentum: 0.9", 2), ("kind: memory_bank, negatives: 50", 1)],
)
def test_the_memory_bank_makes_one_view_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contrast: str, views: int
) -> None:
    made = []

    def spy(*words: Any, **more: Any) -> Loader:
        made.append(Loader(*words, **more))
        return made[-1]

    monkeypatch.setattr(pretrain, "Loader", spy)
    recipe = write(tmp_path, old="kind: moco, queue: 50, momentum: 0.9", new=contrast)
    folder = run(recipe, tmp_path / "runs", kinds=("pretrain",))["pretrain"]
    assert folder.result is not None
    assert [len(loader.views) for loader in made] == [views]


def test_no_epochs_leave_the_initial_network(tmp_path: Path) -> None:
    folders = run(write(tmp_path, old="epochs: 3", new="epochs: 0"), tmp_path / "runs")
    result = folders["pretrain"].result
    assert result is not None
    assert result["step"] == 0
    assert {name.partition("/")[0] for name in result["values"]} == {"knn", "health"}
    knn, linear = folders["knn"].result, folders["linear"].result
    assert knn is not None
    assert linear is not None
    assert knn["values"]["knn/top1"] == result["values"]["knn/top1"]


def test_data_that_changed_is_refused(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    steps = itertools.count(1)
    kinds = ("pretrain",)
    run(recipe, tmp_path / "runs", kinds=kinds, stopping=lambda: next(steps) >= 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.data.datasets._fingerprint", lambda *_: "another00000")
        pretrain_data_cache_clear()
        with pytest.raises(DataError, match="started with"):
            run(recipe, tmp_path / "runs", kinds=kinds)
    pretrain_data_cache_clear()


def pets(root: Path) -> str:
    """A folder of 40 and 4 noisy images under the data root, as a recipe names it."""
    draw = torch.Generator().manual_seed(0)
    for split, count in (("train", 40), ("val", 4)):
        for n in range(count):
            path = root / "pets" / split / f"{n % 2}" / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = torch.randint(256, (20, 20, 3), generator=draw, dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(path)
    return "data: {name: imagefolder, folder: pets, size: 16}"


def test_an_image_that_changed_is_noticed(tmp_path: Path) -> None:
    """Between two lives of a run, on disk."""
    recipe = write(tmp_path, old=EMBEDDED, new=pets(tmp_path))
    steps = itertools.count(1)
    kinds = ("pretrain",)
    run(recipe, tmp_path / "runs", kinds=kinds, data=tmp_path, stopping=lambda: next(steps) >= 3)
    changed = tmp_path / "pets" / "train" / "0" / "0.png"
    changed.write_bytes(changed.read_bytes() + b"more")
    pretrain_data_cache_clear()
    with pytest.raises(DataError, match="started with"):
        run(recipe, tmp_path / "runs", kinds=kinds, data=tmp_path)
    pretrain_data_cache_clear()


def test_more_neighbours_than_images_are_refused_before_the_first_step(tmp_path: Path) -> None:
    recipe = write(tmp_path, old=EMBEDDED, new=pets(tmp_path))
    with pytest.raises(DataError, match=r"knn\.k: 41 .*pets .*40 images"):
        run(recipe, tmp_path / "runs", ("knn.k=[5, 41]",), kinds=("pretrain",), data=tmp_path)
    (folder,) = (tmp_path / "runs").glob("*.pretrain-*")
    assert journal.read(StageFolder(folder)) == []
    pretrain_data_cache_clear()


def pretrain_data_cache_clear() -> None:
    from harness.data.datasets import open_data

    open_data.cache_clear()


def test_a_checkpoint_of_another_stage_is_refused(tmp_path: Path) -> None:
    recipe = write(tmp_path)
    kinds = ("pretrain",)
    one = run(recipe, tmp_path / "runs", kinds=kinds)["pretrain"]
    steps = itertools.count(1)
    other = run(
        recipe, tmp_path / "runs", ("seed=1",), kinds=kinds, stopping=lambda: next(steps) >= 3
    )["pretrain"]
    for _, path in checkpoint.listed(one.checkpoints):
        (other.checkpoints / path.name).write_bytes(path.read_bytes())
    with pytest.raises(StoreError, match="the newest checkpoint is of tiny-s0"):
        run(recipe, tmp_path / "runs", ("seed=1",), kinds=kinds)
