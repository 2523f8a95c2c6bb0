"""Features that evaluations share: the same bits as extracted, and never of something else."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gloo import Pool
from PIL import Image
from torch import Tensor

from harness.data.datasets import open_data
from harness.data.images import Files, Stack
from harness.data.multi_label import StretchedFiles
from harness.data.tested import WholeFiles
from harness.evaluate import features as module
from harness.model.encoder import build
from harness.recipe.schema import Data, Model
from harness.runtime.world import World
from harness.stage.features import Shared
from harness.store import features as store
from harness.store.edition import closure
from harness.store.layout import StageFolder

from .tiny import final_state, run, same, write
from .together import Notes, run_stages

ALONE = World.alone(torch.device("cpu"))
MODEL: dict[str, Any] = {"backbone": "miniature", "dim": 8, "bn_group": 8}


class Evaluation:
    """What a Shared reads of a stage's context."""

    def __init__(self, runs: Path) -> None:
        self.folder = StageFolder(runs / "tiny-s0.knn-0123456789")
        self.recipe = self
        self.model = Model.model_validate(MODEL)
        self.world = ALONE
        self.reporter = Notes()
        self.extracted = 0

    @staticmethod
    def stopping() -> bool:
        return False

    def get(self, seed: int = 0, **changes: Any) -> Tensor:
        data = open_data(Data(name="embedded", images=32, size=16), Path("/nonexistent"))
        encoder = build(self.model, seed).eval()
        given: dict[str, Any] = {"size": 16, "layer": "backbone", "precision": "fp32"}
        given |= {"images": data.bank} | changes

        def extracting(*words: Any, **more: Any) -> Tensor:
            self.extracted += 1
            return module.extract(*words, **more)

        shared = Shared(self, extracting)  # type: ignore[arg-type]
        images = given.pop("images")
        return shared(encoder, data, images, world=ALONE, **given)


def test_they_are_extracted_once_and_read_with_the_same_bits(tmp_path: Path) -> None:
    stage = Evaluation(tmp_path)
    first = stage.get()
    again = stage.get()
    assert stage.extracted == 1
    assert torch.equal(first, again)
    again.zero_()
    assert torch.equal(stage.get(), first), "each reader has a copy of its own"
    assert stage.reporter.told == []


def test_whole_images_are_not_taken_for_their_centres(tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(path)
    given = ([path], torch.tensor([0]), [path.stat().st_size])
    stage = Evaluation(tmp_path)
    cut = stage.get(images=Files(*given))
    assert not torch.equal(stage.get(images=WholeFiles(*given)), cut)
    assert torch.equal(stage.get(images=Files(*given)), cut)
    assert stage.extracted == 2


def test_whatever_decides_a_bit_is_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Evaluation(tmp_path)
    data = open_data(Data(name="embedded", images=32, size=16), Path("/nonexistent"))
    bank = data.bank
    assert isinstance(bank, Stack)
    darker = Stack(bank.stack.clone(), bank.labels)
    darker.stack[0, 0, 0, 0] ^= 1
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"size": 12},
        {"layer": "output"},
        {"precision": "bf16"},
        {"images": data.test},
        {"images": bank.subset(torch.arange(31))},
        {"images": bank.subset(torch.arange(31, -1, -1))},
        {"images": darker},
    ]
    for n, change in enumerate(changes, 1):
        stage.get(**change)
        assert stage.extracted == n, change
    extracted = stage.extracted
    for target, value in (
        ("torch.get_num_threads", lambda: 77),
        ("harness.stage.features.of_modules", lambda *_: "other"),
        ("harness.stage.features.cpu", lambda: "another CPU"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, value)
            stage.get()
        extracted += 1
        assert stage.extracted == extracted, target
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    stage.get()
    assert stage.extracted == extracted + 1


def test_the_code_of_the_images_own_view_is_in_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = picture(tmp_path)
    given = ([path], torch.tensor([0]), [path.stat().st_size])
    stage = Evaluation(tmp_path)

    def code(changed: str) -> Callable[..., str]:
        return lambda of, _: changed if "harness.data.multi_label" in closure(*of) else ""

    for images, extracted in ((Files(*given), 1), (StretchedFiles(*given), 3)):
        for changed in ("", "other"):
            monkeypatch.setattr("harness.stage.features.of_modules", code(changed))
            stage.get(images=images)
        assert stage.extracted == extracted


def test_the_head_decides_the_output_alone(tmp_path: Path) -> None:
    stage = Evaluation(tmp_path)
    data = open_data(Data(name="embedded", images=32, size=16), Path("/nonexistent"))
    given = {"size": 16, "precision": "fp32", "world": ALONE}
    for layer, expected in (("backbone", 1), ("output", 2)):
        stage.extracted = 0
        for shift in (0.0, 1.0):
            encoder = build(stage.model, 0).eval()
            with torch.no_grad():
                next(encoder.head.parameters()).add_(shift)

            def extracting(*words: Any, **more: Any) -> Tensor:
                stage.extracted += 1
                return module.extract(*words, **more)

            Shared(stage, extracting)(encoder, data, data.bank, layer=layer, **given)  # type: ignore[arg-type]
        assert stage.extracted == expected


def test_a_file_that_was_written_again_is_another_image(tmp_path: Path) -> None:
    for n in range(4):
        shutil.copyfile(picture(tmp_path), tmp_path / f"{n}.png")
    paths = [tmp_path / f"{n}.png" for n in range(4)]
    stage = Evaluation(tmp_path)
    images = Files(paths, torch.arange(4), [1, 1, 1, 1])
    stage.get(images=images)
    stage.get(images=images)
    assert stage.extracted == 1
    os.utime(paths[2], (1, 1))
    stage.get(images=images)
    assert stage.extracted == 2


def picture(folder: Path) -> Path:
    from PIL import Image

    path = folder / "picture.png"
    Image.new("RGB", (20, 20), (200, 10, 10)).save(path)
    return path


def test_a_damaged_file_is_extracted_again_and_replaced(tmp_path: Path) -> None:
    stage = Evaluation(tmp_path)
    first = stage.get()
    (path,) = store.files(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:-4] + b"\0\0\0\0")
    assert torch.equal(stage.get(), first)
    assert stage.extracted == 2
    assert len(stage.reporter.told) == 1
    assert path.read_bytes() == content


def test_a_full_disk_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Evaluation(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        first = stage.get()
    assert len(stage.reporter.told) == 1
    assert store.files(tmp_path) == []
    assert torch.equal(stage.get(), first)
    assert stage.extracted == 2


RECIPE = {
    "old": "knn: {k: [5, 1], temperature: 0.1, queries: 50}",
    "new": "knn: {k: [5, 1], temperature: 0.1}\n"
    "tasks: {grid: {kind: logistic, c: [0.1, 1.0], folds: 2, held_out: 2}}",
}
KINDS = ("knn", "linear", "logistic")


def results(folders: dict[str, StageFolder]) -> dict[str, Any]:
    return {kind: (folders[kind].result or {})["values"] for kind in KINDS}


def test_the_tasks_of_a_run_share_them_and_measure_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, real = write(tmp_path, **RECIPE), module.encode
    encoded = [0]

    def counting(*words: Any) -> Tensor:
        encoded[0] += len(words[1])
        return real(*words)

    def evaluated(runs: Path, *, kept: bool) -> tuple[dict[str, Any], dict[str, StageFolder], int]:
        run(recipe, runs, kinds=("pretrain",))
        encoded[0] = 0
        for kind in KINDS:
            folders = run(recipe, runs, kinds=(kind,))
            if not kept:
                shutil.rmtree(runs / ".features")
        return results(folders), folders, encoded[0]

    monkeypatch.setattr(module, "encode", counting)
    with_files, one, once = evaluated(tmp_path / "with", kept=True)
    without, other, thrice = evaluated(tmp_path / "without", kept=False)
    assert (once, thrice) == (2080, 3 * 2080)  # 2,000 test images, 80 in the bank
    assert json.dumps(with_files) == json.dumps(without)
    assert same(final_state(one["linear"]), final_state(other["linear"]))


def test_two_processes_share_them_and_one_extracts_its_own(gloo: Pool, tmp_path: Path) -> None:
    recipe, runs = write(tmp_path, **RECIPE), tmp_path / "runs"
    notes = gloo.run(run_stages, 2, str(recipe), str(runs), timeout=120)
    assert not any("features" in note for told in notes for note in told)
    assert len(store.files(runs)) == 2, "one for the bank, one for the test images"
    first = results(run(recipe, runs, kinds=()))
    for path in runs.glob("tiny-s0.[!p]*"):
        shutil.rmtree(path)
    gloo.run(run_stages, 2, str(recipe), str(runs), timeout=120)
    assert results(run(recipe, runs, kinds=())) == first, "read by both"
    for path in runs.glob("tiny-s0.knn*"):
        shutil.rmtree(path)
    run(recipe, runs, kinds=("knn",))
    assert len(store.files(runs)) == 4, "the batches of one process are others"
