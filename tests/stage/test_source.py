"""A run as source: its weights evaluated, trained on from, or the whole run continued."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gloo import Pool

from harness.errors import RecipeError, StoreError
from harness.inputs import Inputs
from harness.launch.stage_record import describe
from harness.plan import make_plan
from harness.recipe.identity import stage_id
from harness.recipe.load import load_recipe
from harness.report.collect import Results, collect_single
from harness.report.deviations import deviations
from harness.stage.pretrain import Pretraining
from harness.store import journal
from harness.store.layout import StageFolder
from harness.store.ledger import read_entry
from harness.store.stale import why_changed

from .tiny import TEXT, final_state, run, same, write
from .together import run_stages

FLAT = "optim.schedule={kind: constant}"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run root with a pre-training of two epochs at a constant rate, on five batches each."""
    folder = tmp_path_factory.mktemp("finished")
    run(write(folder), folder / "runs", (FLAT, "optim.epochs=2"), kinds=("pretrain", "knn"))
    return folder / "runs"


@pytest.fixture
def source(finished: Path, runs: Path) -> StageFolder:
    shutil.copytree(finished, runs)
    return of(runs)


def of(runs: Path) -> StageFolder:
    (found,) = runs.glob("tiny-s0.pretrain-*")
    return StageFolder(found)


def child(folder: Path, text: str, name: str = "child") -> Path:
    """The tiny recipe under another name, with more lines or changed ones."""
    path = folder / f"{name}.yaml"
    path.write_text(TEXT.replace("name: tiny", f"name: {name}") + text)
    return path


def going_on(folder: Path, source: StageFolder | str, name: str = "child") -> Path:
    named = source if isinstance(source, str) else source.id
    return child(folder, f"continue_from: {named}\n", name)


def result(folder: StageFolder) -> dict[str, Any]:
    entry = read_entry(folder)
    assert entry.state == "finished", entry.detail
    assert entry.result is not None
    return entry.result


class TestEvaluated:
    def recipe(self, folder: Path, named: str, name: str = "child") -> Path:
        path = child(folder, "", name)
        text = path.read_text().replace("dim: 16", f"dim: 16, weights: {{run: '{named}'}}")
        path.write_text(text.replace("epochs: 3", "epochs: 0"))
        return path

    def test_it_is_the_query_encoder_of_the_last_step(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        folders = run(self.recipe(tmp_path, source.id), runs)
        held, theirs = (final_state(f)["mechanism"] for f in (folders["pretrain"], source))
        query = [name for name in theirs if name.startswith("query.")]
        assert query
        assert all(same(held[name], theirs[name]) for name in query)
        (own,) = runs.glob("tiny-s0.knn-*")
        assert result(folders["knn"])["values"] == result(StageFolder(own))["values"]
        assert "linear/top1" in result(folders["linear"])["values"]

    def test_its_identity_is_the_sources_id_wherever_that_lies(
        self, tmp_path: Path, source: StageFolder
    ) -> None:
        ids = {
            stage_id(load_recipe(self.recipe(tmp_path, named)), "pretrain")
            for named in (source.id, f"{source.path}/", f"../elsewhere/{source.id}")
        }
        assert len(ids) == 1
        other = self.recipe(tmp_path, f"{source.id}0")
        assert stage_id(load_recipe(other), "pretrain") not in ids

    def test_a_folder_in_another_run_root(self, tmp_path: Path, source: StageFolder) -> None:
        elsewhere = tmp_path / "elsewhere"
        folders = run(self.recipe(tmp_path, str(source.path)), elsewhere)
        assert result(folders["knn"])["inputs"]["weights"]["name"] == source.id
        relative = run(self.recipe(tmp_path, f"../runs/{source.id}"), elsewhere)
        assert relative["pretrain"] == folders["pretrain"]

    def test_a_source_that_was_trained_anew_makes_it_stale(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        folders = run(self.recipe(tmp_path, source.id), runs, kinds=("pretrain", "knn"))
        said = result(folders["knn"])["inputs"]["weights"]
        assert said["sha256"] == result(source)["weights"]
        entries = [read_entry(folders[kind]) for kind in ("pretrain", "knn")]
        assert not any(why_changed(entry, Inputs(None, runs)) for entry in entries)
        path = source.path / "result.json"
        path.write_text(path.read_text().replace(said["sha256"], "0123456789ab"))
        for entry in entries:
            assert "0123456789ab now" in why_changed(entry, Inputs(None, runs))
        moved = runs.rename(runs.with_name("moved"))
        assert "0123456789ab now" in why_changed(entries[0], Inputs(None, moved))
        shutil.rmtree(moved / source.id)
        assert not why_changed(entries[0], Inputs(None, moved)), "it is not at hand"


class TestTrainedOnFrom:
    def recipe(self, folder: Path, source: StageFolder, more: str = "") -> Path:
        path = child(folder, "")
        given = f"dim: 16, weights: {{run: {source.id}{more}}}"
        path.write_text(path.read_text().replace("dim: 16", given))
        return path

    def test_on_other_data_with_its_head_and_a_queue_of_its_own(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        recipe = self.recipe(tmp_path, source)
        sets = ("optim.lr=0.0", "optim.epochs=1", "data.images=48", "optim.weight_decay=0.0")
        folders = run(recipe, runs, sets, kinds=("pretrain",))
        held, theirs = (final_state(f)["mechanism"] for f in (folders["pretrain"], source))
        for name, value in theirs.items():
            if name.startswith("query.") and ("weight" in name or "bias" in name):
                assert same(held[name], value), name
        found = result(folders["pretrain"])
        assert found["step"] == 3, "it counts from its own start"
        assert found["given"]["head"] is True
        assert "continues" not in found

    def test_another_head_is_refused_with_the_mend(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        (stage, *_) = make_plan(self.recipe(tmp_path, source), ("model.dim=8",), runs).stages
        assert stage.action == "refuse"
        assert "model.weights.head: new" in stage.why
        new = self.recipe(tmp_path, source, ", head: new")
        folders = run(new, runs, ("model.dim=8", "optim.epochs=1"), kinds=("pretrain",))
        assert result(folders["pretrain"])["given"]["head"] is False


class TestContinued:
    def test_by_the_same_schedule_it_ends_with_the_bits_of_the_whole(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        """Queue, momentum, step and epoch go on, and so do all random draws."""
        folders = run(going_on(tmp_path, source), runs, (FLAT, "optim.epochs=4"))
        whole = run(write(tmp_path), tmp_path / "whole", (FLAT, "optim.epochs=4"))
        one, other = (final_state(f["pretrain"]) for f in (folders, whole))
        assert same(one["mechanism"], other["mechanism"])
        assert same(one["optimiser"], other["optimiser"])
        found = result(folders["pretrain"])
        assert found["step"] == 20
        assert found["values"] == result(whole["pretrain"])["values"]
        assert found["continues"]["stage"] == source.id
        assert found["continues"]["step"] == 10
        assert found["inputs"]["weights"]["sha256"] == result(source)["weights"]
        steps = [r["step"] for r in journal.read(folders["pretrain"]) if "train/loss" in r]
        assert steps == list(range(11, 21))
        assert result(folders["linear"])["values"] == result(whole["linear"])["values"]

    def test_it_begins_with_the_bits_that_the_source_ended_with(
        self, tmp_path: Path, source: StageFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All that a checkpoint holds, but what was measured and how the optimiser is set."""
        begun: list[tuple[int, dict[str, Any]]] = []
        go_on = Pretraining._go_on

        def seen(self: Pretraining, step: int, state: dict[str, Any]) -> None:
            go_on(self, step, state)
            begun.append((self.step, copy.deepcopy(self.state())))

        monkeypatch.setattr(Pretraining, "_go_on", seen)
        run(going_on(tmp_path, source), source.path.parent, (FLAT,), kinds=("pretrain",))
        ((step, state),) = begun
        ended = final_state(source)
        assert step == 10
        assert same(state["mechanism"], ended["mechanism"])
        assert state["mechanism"]["queue._extra_state"] == {"pointer": 10}
        assert state["optimiser"]["state"], "there is momentum to go on with"
        assert same(state["optimiser"]["state"], ended["optimiser"]["state"])
        assert same(state["scaler"], ended["scaler"])

    def test_stopped_and_gone_on_with_it_ends_with_the_same_bits(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        recipe = going_on(tmp_path, source)
        undisturbed = tmp_path / "undisturbed"
        shutil.copytree(runs, undisturbed)
        whole = run(recipe, undisturbed, ("optim.epochs=4",), kinds=("pretrain",))
        for after in (1, 3, 4):
            run(recipe, runs, ("optim.epochs=4",), kinds=("pretrain",), stopping=later(after))
        shutil.rmtree(source.path)  # its own checkpoint is enough
        folders = run(recipe, runs, ("optim.epochs=4",), kinds=("pretrain",))
        found, expected = result(folders["pretrain"]), result(whole["pretrain"])
        assert found["weights"] == expected["weights"]
        assert found["continues"] == expected["continues"]
        assert found["inputs"]["weights"]["sha256"] == expected["inputs"]["weights"]["sha256"]
        steps = [r["step"] for r in journal.read(folders["pretrain"]) if "train/loss" in r]
        assert steps == list(range(11, 21))

    def test_the_optimiser_is_set_as_the_recipe_says(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        sets = ("optim.sgd_momentum=0.5", "optim.weight_decay=0.01", "optim.epochs=3")
        folders = run(going_on(tmp_path, source), runs, sets, kinds=("pretrain",))
        (group,) = final_state(folders["pretrain"])["optimiser"]["param_groups"]
        assert (group["momentum"], group["weight_decay"]) == (0.5, 0.01)

    def test_a_cosine_that_begins_where_it_goes_on(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        sets = ("optim.schedule={kind: cosine, start: 2}", "optim.epochs=4")
        folders = run(going_on(tmp_path, source), runs, sets, kinds=("pretrain",))
        rates = [r["train/lr"] for r in journal.read(folders["pretrain"]) if "train/lr" in r]
        assert rates == [0.05] * 5 + [pytest.approx(0.025)] * 5

    def test_less_than_an_epoch_more(self, tmp_path: Path, runs: Path, source: StageFolder) -> None:
        """What it measured is of its own steps alone, and its result is found valid."""
        sets = (FLAT, "optim.epochs=3", "optim.steps=12")
        folders = run(going_on(tmp_path, source), runs, sets, kinds=("pretrain",))
        losses = [r["train/loss"] for r in journal.read(folders["pretrain"]) if "train/loss" in r]
        assert len(losses) == 2
        assert result(folders["pretrain"])["values"]["train/loss"] == pytest.approx(sum(losses) / 2)

    def test_two_processes_continue_it_as_one_does(
        self, gloo: Pool, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        recipe, both = going_on(tmp_path, source), tmp_path / "both"
        shutil.copytree(runs, both)
        alone = run(recipe, runs, kinds=("pretrain",))["pretrain"]
        gloo.run(run_stages, 2, str(recipe), str(both), timeout=120)
        two = run(recipe, both, kinds=())["pretrain"]
        assert result(two)["processes"] == 2
        assert result(two)["continues"] == result(alone)["continues"]
        losses = [
            [loss for _, _, loss in journal.series(journal.read(found), "train/loss")]
            for found in (alone, two)
        ]
        assert len(losses[0]) == 5
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
        queues = [final_state(found)["mechanism"]["queue.keys"] for found in (alone, two)]
        assert queues[1].sub(queues[0]).abs().max() < 1e-2

    def test_a_line_that_was_changed_is_told_as_that(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        """Not as lines that are missing: its journal begins where it goes on."""
        folder = run(going_on(tmp_path, source), runs, kinds=("pretrain",))["pretrain"]
        (path,) = folder.path.glob("attempts/*/metrics.jsonl")
        path.write_text(path.read_text().replace('"pretext/top1":', '"pretext/top1": ', 1))
        assert "changed since it was written" in read_entry(folder).detail

    def test_a_report_says_that_it_is_no_longer_run_from_the_start(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        recipe = going_on(tmp_path, source)
        for wanted in (source.id, "from its step 10 (2 epochs, constant"):
            (line,) = [
                each
                for each in deviations(collected(recipe, runs))
                if "It is not one run of 3 epochs" in each
            ]
            assert wanted in line
            run(recipe, runs)

    def test_a_continued_run_can_be_continued(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        second = run(going_on(tmp_path, source), runs, (FLAT, "optim.epochs=3"))["pretrain"]
        third = run(going_on(tmp_path, second, "third"), runs, (FLAT, "optim.epochs=4"))
        whole = run(write(tmp_path), tmp_path / "whole", (FLAT, "optim.epochs=4"))
        one, other = (final_state(f["pretrain"])["mechanism"] for f in (third, whole))
        assert same(one, other)


def collected(recipe: Path, runs: Path) -> Results:
    return collect_single(load_recipe(recipe), runs)


def later(steps: int) -> Callable[[], bool]:
    """Asks to stop after so many steps."""
    asked = iter(range(steps - 1))
    return lambda: next(asked, None) is None


def replaced(old: str, new: str) -> Callable[[StageFolder], None]:
    def change(source: StageFolder) -> None:
        path = source.path / "result.json"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def unfinished(source: StageFolder) -> None:
    (source.path / "result.json").unlink()


def without_checkpoint(source: StageFolder) -> None:
    shutil.rmtree(source.checkpoints)


def untouched(source: StageFolder) -> None:
    assert source.path.is_dir()


class TestRefused:
    """Before anything is trained: the plan says why, and what to do."""

    @pytest.mark.parametrize("how", ["continue", "evaluate"])
    @pytest.mark.parametrize(
        ("harm", "says"),
        [
            (lambda source: shutil.rmtree(source.path), "no such stage"),
            (unfinished, "has not finished"),
            (without_checkpoint, "the checkpoint of its last step, 10"),
        ],
    )
    def test_a_source_that_cannot_serve(
        self,
        tmp_path: Path,
        runs: Path,
        source: StageFolder,
        how: str,
        harm: Callable[[StageFolder], None],
        says: str,
    ) -> None:
        harm(source)
        evaluated = TestEvaluated().recipe(tmp_path, source.id)
        recipe = going_on(tmp_path, source) if how == "continue" else evaluated
        stage, *others = make_plan(recipe, (), runs).stages
        assert stage.action == "refuse"
        assert says in stage.why
        assert str(source.path) in stage.why
        assert {other.action for other in others} == {"refuse"}, "what builds on it is not begun"
        stage.entry.folder.create(describe(stage, "tiny"))
        with pytest.raises(StoreError, match=says):  # as a job meets it, that was queued before
            run(recipe, runs, kinds=("pretrain",))

    def test_a_diverged_source(self, tmp_path: Path, runs: Path) -> None:
        run(write(tmp_path), runs, ("optim.lr=1e30",), kinds=("pretrain",))
        assert read_entry(of(runs)).state == "diverged"
        (stage, *_) = make_plan(going_on(tmp_path, of(runs)), (), runs).stages
        assert stage.action == "refuse"
        assert "diverged" in stage.why

    @pytest.mark.parametrize(
        ("sets", "says"),
        [
            (("model.width=2",), "model.width: 1"),
            (("seed=1",), "seed (0)"),
            (("data.images=64",), "data.images (80)"),
            (("contrast.momentum=0.5",), "contrast.momentum (0.9)"),
            (("augment.flip_p=0.1",), "augment.flip_p (0.5)"),
            (("model.dim=8",), "model.dim (16)"),
            (("optim.batch=32",), "optim.batch, 16"),
            (("optim.epochs=2",), "it has made 10 steps"),
            (("optim.steps=10",), "it has made 10 steps"),
        ],
    )
    def test_a_recipe_that_does_not_continue_it(
        self, tmp_path: Path, runs: Path, source: StageFolder, sets: tuple[str, ...], says: str
    ) -> None:
        (stage, *_) = make_plan(going_on(tmp_path, source), sets, runs).stages
        assert stage.action == "refuse"
        assert says in stage.why

    def test_one_that_does_is_planned(
        self, tmp_path: Path, runs: Path, source: StageFolder
    ) -> None:
        stages = make_plan(going_on(tmp_path, source), (), runs).stages
        assert [stage.action for stage in stages] == ["run"] * 3

    def test_an_evaluation_is_no_source(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match="continue_from: not a pre-training stage"):
            load_recipe(going_on(tmp_path, "tiny-s0.knn-0123456789"))
