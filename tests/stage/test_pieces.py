"""Measurements in pieces: what is measured again after an interruption, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.errors import DataError
from harness.evaluate.features import NotFinite
from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.recipe.identity import spec
from harness.runtime.world import World
from harness.stage import pieces as module
from harness.stage.context import Context, Interrupted
from harness.stage.pieces import in_pieces
from harness.store.attempt import begin
from harness.store.layout import StageFolder, stage_folder

from .tiny import recipe_of, write
from .together import Notes


class Stage:
    """A kNN stage whose work is to count to five."""

    def __init__(self, folder: Path) -> None:
        stages = make_plan(write(folder), (), folder / "runs").stages
        (planned,) = (each for each in stages if each.kind == "knn")
        self.folder: StageFolder = stage_folder(folder / "runs", planned.id)
        self.folder.create(describe(planned, "tiny"))
        self.told: list[str] = []
        self.measured: list[int] = []
        self.parent: Any = type("Parent", (), {"result": {"weights": "1234"}})()

    def count(self, stop_after: int = 99, own_data: str = "") -> list[list[float]]:
        """One attempt; it is asked to stop after so many pieces."""
        self.measured = []
        notes, recipe = Notes(), recipe_of(self.folder)
        attempt = begin(self.folder)
        asked = spec(recipe, "knn")
        data: Any = type("Data", (), {"fingerprint": "0123"})()
        context = Context(
            *(
                recipe,
                self.folder,
                attempt,
                self.parent,
                data,
                Path(),
                World.alone(torch.device("cpu")),
            ),
            *(notes, lambda: len(self.measured) >= stop_after, asked),
        )
        try:
            return in_pieces(context, 5, 2, lambda: self._piece, own_data=own_data).tolist()
        finally:
            self.told += notes.told
            context.saver.close()
            attempt.end("interrupted")

    def _piece(self, n: int) -> Sequence[float]:
        self.measured.append(n)
        return [n, n * n / 3]


EXPECTED = [[n, n * n / 3] for n in range(5)]


def test_each_piece_is_measured_once(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    assert stage.count() == EXPECTED
    assert stage.measured == [0, 1, 2, 3, 4]


def test_finished_pieces_are_not_measured_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with pytest.raises(Interrupted):
        stage.count(stop_after=2)
    assert stage.measured == [0, 1]
    with pytest.raises(Interrupted):
        stage.count(stop_after=1)
    assert stage.measured == [2]
    assert stage.count() == EXPECTED
    assert stage.measured == [3, 4]


def test_pieces_are_saved_as_time_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a killed stage resumes, too."""
    monkeypatch.setattr(module, "SAVE_S", 0.0)
    stage = Stage(tmp_path)
    stage.count()
    found = [int(path.name.split("-")[1]) for path in stage.folder.checkpoints.glob("*.pt")]
    assert max(found) == 4
    stage.count()
    assert stage.measured == [4]


def test_pieces_of_other_code_are_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)
    with pytest.raises(Interrupted):
        stage.count(stop_after=2)
    monkeypatch.setattr(module, "edition", lambda *_: "ffff")
    assert stage.count() == EXPECTED
    assert stage.measured == [0, 1, 2, 3, 4]
    assert any("other code" in each for each in stage.told)


def test_pieces_of_other_weights_are_measured_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with pytest.raises(Interrupted):
        stage.count(stop_after=2)
    stage.parent.result["weights"] = "5678"
    assert stage.count() == EXPECTED
    assert stage.measured == [0, 1, 2, 3, 4]
    assert any("weights" in each for each in stage.told)


def test_pieces_of_other_data_are_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with pytest.raises(Interrupted):
        stage.count(stop_after=2, own_data="aaaa")
    with pytest.raises(DataError, match=r"fingerprint bbbb, but .* started with aaaa"):
        stage.count(own_data="bbbb")
    assert stage.count(own_data="aaaa") == EXPECTED


def test_what_is_not_finite_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path)

    def lost(_: Stage, n: int) -> Sequence[float]:
        raise NotFinite(f"piece {n}")

    monkeypatch.setattr(Stage, "_piece", lost)
    with pytest.raises(NotFinite, match="piece 0"):
        stage.count()
