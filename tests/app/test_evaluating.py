"""Evaluations of given weights: the recipe that is written, and what it measures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from data.voc_layout import voc2007
from PIL import Image
from stage.tiny import TEXT, run
from torchvision.models.resnet import BasicBlock, ResNet

import harness
from harness.app import Evaluated, evaluate, evaluating, export
from harness.app.results import Ran
from harness.errors import DataError, HarnessError, RecipeError, StoreError
from harness.inputs import Inputs
from harness.plan import Plan, make_plan
from harness.recipe.identity import stages
from harness.recipe.load import load_recipe
from harness.recipe.schema import Recipe
from harness.recipe.untrained import untrained
from harness.report.collect import Results
from harness.report.protocol_lines import protocol_lines
from harness.site import Site
from harness.store.layout import StageFolder

LITTLE = ("data.images=64", "knn.k=[5]", "knn.queries=50", "watch.control=false")
"""What makes an evaluation on the embedded images short, and tells it as the runs here are."""
LARGE = 1 << 20
"""Bytes: checkpoints, and files of weights."""
RUNS = {
    "tiny": ("data.images=64", "knn.k=[5]"),
    "small": ("model.backbone=resnet18", "optim.epochs=1", "data.images=64", "knn.k=[5]"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, a folder of images, and the recipe tiny.yaml."""
    place = tmp_path_factory.mktemp("trained")
    for name, sets in RUNS.items():
        recipe = place / f"{name}.yaml"
        recipe.write_text(TEXT.replace("name: tiny", f"name: {name}"))
        run(recipe, place / "runs", sets, kinds=("pretrain", "knn"))
    for n in range(36):
        folder = place / "data" / "photos" / ("val" if n % 6 == 0 else "train") / "abc"[n % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 18), (7 * n, 255 - 7 * n, n)).save(folder / f"{n}.png")
    torch.save({"a": torch.ones(2)}, place / "no.pth")
    torch.save({"model": Path("a")}, place / "code.pth")
    with torch.device("meta"):
        deeper = ResNet(BasicBlock, [2, 2, 2, 3]).state_dict()
    shapes = {n: torch.ones((), dtype=t.dtype).expand(t.shape) for n, t in deeper.items()}
    torch.save(shapes, place / "deep.pth")
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in, with links to the large files, which nothing writes into."""

    def copy(source: str, to: str) -> None:
        if Path(source).stat().st_size > LARGE:
            Path(to).hardlink_to(source)
        else:
            shutil.copy2(source, to)

    shutil.copytree(trained, tmp_path / "place", copy_function=copy)
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


@pytest.fixture
def site(place: Path) -> Site:
    return harness.load_site(runs=place / "runs", data=place / "data", device="cpu")


def value(place: Path, stage: str) -> float:
    """The kNN accuracy of the only stage with such an id."""
    (found,) = (place / "runs").glob(stage)
    result = StageFolder(found).result
    assert result is not None
    return float(result["values"]["knn/top1"])


def results(made: Evaluated) -> Results:
    assert isinstance(made.ran, Ran)
    assert made.exit_code == 0
    assert made.ran.report is not None
    return made.ran.report.results


def write(site: Site, weights: str = "tiny", on: Any = "embedded", **more: Any) -> Recipe:
    return load_recipe(evaluating.write(weights, on, site, **more).recipe)


def test_folders_have_names_of_their_own(place: Path, site: Site) -> None:
    """Also in another call: each has a recipe file of its own."""
    folders = ["birds", "a/birds", "b/birds", "a-birds", "Birds", "фото", "猫", "cifar10"]
    for folder in folders:
        for split in ("train", "val"):
            for kind in ("one", "two"):
                inner = place / "data" / folder / split / kind
                inner.mkdir(parents=True)
                Image.new("RGB", (16, 16)).save(inner / "x.png")
    files = [evaluating.write("tiny", f"./data/{each}", site).recipe for each in folders]
    assert len({*files}) == len(files)
    assert files[0].stem.endswith(".on.birds")
    (note,) = evaluating.write("tiny", "cifar10", site).notes
    assert note.endswith(f"say --on {place / 'data' / 'cifar10'}")


def test_a_run_on_its_own_data_has_its_own_accuracy(place: Path, site: Site) -> None:
    made = evaluate("tiny", "embedded", site, tasks=["knn"], sets=LITTLE)
    assert made.recipe.parent == place / "runs" / "evaluations"
    (own,) = results(made).runs
    (source,) = (place / "runs").glob("tiny-s0.pretrain-*")
    digest = (StageFolder(source).result or {})["weights"]
    assert value(place, "tiny-s0-*-s0.knn-*") == value(place, "tiny-s0.knn-*")
    assert own.given == {"run": source.name, "sha256": digest}
    assert own.recipe.data.size == 16  # the run's
    assert own.recipe.linear is None
    (line,) = protocol_lines(results(made))
    assert "k 5, T 0.1, backbone, bank embedded of 64 images (pre-trained on)" in line
    again = evaluate("tiny", "embedded", site, tasks=["knn"], sets=LITTLE)
    assert isinstance(again.ran, Ran)
    assert again.ran.outcome is None  # the same recipe, and nothing left to do
    assert again.recipe == made.recipe


def test_a_file_is_evaluated_as_the_run_that_it_was_exported_from(place: Path, site: Site) -> None:
    exported = export("small", "torchvision", site, to=place / "elsewhere")
    made = evaluate("elsewhere/model.pth", "embedded", site, tasks=["knn"], size=16, sets=LITTLE)
    (own,) = results(made).runs
    assert own.recipe.model.backbone == "resnet18"
    assert value(place, "model-*-s0.knn-*") == value(place, "small-s0.knn-*")
    assert own.given == {"file": "model.pth", "sha256": exported.sha256}
    (line,) = protocol_lines(results(made))
    assert "not known whether pre-trained on" in line

    def plan() -> Plan:
        looking = Inputs(site.data, site.runs)
        return make_plan(made.recipe, LITTLE, site.runs, inputs=looking)

    assert not any(stage.stale for stage in plan().stages)
    state = torch.load(exported.weights, weights_only=True)
    torch.save({name: 2 * each for name, each in state.items()}, exported.weights)
    assert all(stage.stale for stage in plan().stages)


def test_where_a_file_lies_is_no_part_of_identity(place: Path, site: Site) -> None:
    export("small", "torchvision", site, to=place / "one")
    shutil.copytree(place / "one", place / "two")
    shutil.copytree(place / "one", place / "data" / "three")
    ids = []
    for folder in ("one", "two"):
        path = evaluating.write(f"{folder}/model.pth", "embedded", site, to=Path("a.yaml")).recipe
        recipe = load_recipe(path)
        assert recipe.model.weights is not None
        assert recipe.model.weights.file == str(place / folder / "model.pth")
        ids.append([stage.id for stage in make_plan(path, (), site.runs).stages])
        path.unlink()
    assert ids[0] == ids[1]
    below = write(site, "data/three/model.pth").model.weights
    assert below is not None
    assert below.file == "three/model.pth"
    named = write(site, "three/model.pth").model.weights  # as it is called under the data root
    assert named == below


def test_a_file_that_was_moved_keeps_its_evaluation(place: Path, site: Site) -> None:
    export("small", "torchvision", site, to=place / "one")
    before = evaluating.write("one/model.pth", "embedded", site)
    (place / "one").rename(place / "two")
    after = evaluating.write("two/model.pth", "embedded", site)
    assert after.recipe == before.recipe
    weights = load_recipe(after.recipe).model.weights
    assert weights is not None
    assert weights.file == str(place / "two" / "model.pth")
    shutil.copytree(place / "two", place / "three")
    with pytest.raises(RecipeError, match="stays"):  # both are there
        evaluating.write("three/model.pth", "embedded", site)
    shutil.rmtree(place / "two")
    text = after.recipe.read_text()
    for mine in (text + "# mine\n", text.replace(", sha256:", ", prefix: mine, sha256:")):
        after.recipe.write_text(mine)
        with pytest.raises(RecipeError, match="stays"):
            evaluating.write("three/model.pth", "embedded", site)
        assert after.recipe.read_text() == mine


def test_a_recipe_can_name_what_is_evaluated(place: Path, site: Site) -> None:
    export("small", "torchvision", site, to=place / "one")
    (place / "one" / "model.pth").rename(place / os.fsdecode(b"caf\xe9.pth"))
    with pytest.raises(DataError, match="UTF-8"):
        evaluating.write(os.fsdecode(b"caf\xe9.pth"), "embedded", site)


def test_the_untrained_network_stands_beside_given_weights(site: Site) -> None:
    control = untrained(write(site, on=["photos", "embedded"], size=24))
    assert control is not None
    assert stages(control) == ["pretrain", "knn", "knn_embedded"]
    assert control.model.weights is None


def test_several_data_sets_are_one_recipe(place: Path, site: Site) -> None:
    recipe = write(site, on=["photos", "embedded"], size=24)
    assert recipe.data.folder == "photos"
    assert set(recipe.tasks) == {"knn_embedded", "linear_embedded"}
    data = {each.data.name for each in recipe.tasks.values() if each.data is not None}
    assert data == {"embedded"}
    assert {recipe.data.size, *(each.data.size for each in recipe.tasks.values() if each.data)} == {
        24
    }
    assert recipe.knn is not None
    assert recipe.knn.k == (3,)  # 30 images
    assert recipe.tasks["knn_embedded"].k == (200,)  # type: ignore[attr-defined]
    assert any("photos" in note and "30 images" in note for note in recipe.about.notes)
    assert recipe.linear is not None
    assert recipe.linear.batch == 30
    assert recipe.linear.drops[-1] < recipe.linear.epochs == 1000
    assert write(site, on=["photos"]).name != recipe.name
    assert (place / "runs" / "evaluations").is_dir()


def test_folders_of_several_data_roots_and_published_sets(place: Path) -> None:
    (place / "first").mkdir()
    roots = [place / "first", place / "data"]
    site = harness.load_site(runs=place / "runs", data=roots, device="cpu")
    for word in ("photos", "data/photos"):
        assert write(site, on=[word]).data.folder == "photos"
    (place / "first" / "photos").mkdir()
    with pytest.raises(DataError, match="photos"):  # the name would mean the first root's
        write(site, on=["data/photos"])
    recipe = write(site, on=["pets", "flowers102"])
    assert recipe.data.name == "pets"
    assert recipe.knn is not None
    assert recipe.knn.k == (200,)
    assert recipe.tasks["knn_flowers102"].data is not None
    with pytest.raises(DataError, match="pictures"):
        write(site, on=["pictures"])


def test_a_folder_here_does_not_hide_one_of_the_data_root(place: Path, site: Site) -> None:
    (place / "photos").mkdir()
    assert write(site, on=["photos"]).data.folder == "photos"
    with pytest.raises(DataError, match="under the data root"):
        write(site, on=["./photos"])


def test_a_run_is_still_found_when_it_was_evaluated(place: Path, site: Site) -> None:
    evaluate("tiny", "embedded", site, tasks=["knn"], sets=LITTLE)
    again = write(site, "tiny", "photos").model.weights
    (source,) = (place / "runs").glob("tiny-s0.pretrain-*")
    assert again is not None
    assert again.run == source.name


def test_a_run_of_another_run_root_is_named_by_its_folder(place: Path) -> None:
    other = harness.load_site(runs=place / "other", data=place / "data", device="cpu")
    (source,) = (place / "runs").glob("tiny-s0.pretrain-*")
    weights = write(other, str(source)).model.weights
    assert weights is not None
    assert weights.run == str(source)
    made = evaluate(str(source), "embedded", other, tasks=["knn"], sets=LITTLE)
    assert protocol_lines(results(made))[0].endswith("(pre-trained on)")


def test_another_file_is_never_overwritten(place: Path, site: Site) -> None:
    first = evaluating.write("tiny", "embedded", site)
    assert first.new
    assert not evaluating.write("tiny", "embedded", site).new
    first.recipe.write_text(first.recipe.read_text() + "seed: 3\n")
    with pytest.raises(RecipeError, match="--to"):
        evaluating.write("tiny", "embedded", site)
    assert first.recipe.read_text().endswith("seed: 3\n")
    assert evaluating.write("tiny", "embedded", site, to=place / "mine.yaml").new
    assert load_recipe(place / "mine.yaml").name == "mine"


MISTAKES: dict[str, tuple[dict[str, Any], type[HarnessError], str]] = {
    "no network": ({"weights": "no.pth"}, DataError, "no.pth"),
    "code": ({"weights": "code.pth"}, DataError, "code.pth"),
    "deeper": ({"weights": "deep.pth"}, DataError, "layer4.2"),
    "no file": ({"weights": "none.pth"}, DataError, "none.pth"),
    "a folder": ({"weights": "data"}, StoreError, "data"),
    "no run": ({"weights": "nobody"}, StoreError, "nobody"),
    "two runs": ({"weights": "s"}, StoreError, "matches 2"),
    "no data": ({"on": "cifar11"}, DataError, "cifar10"),
    "no data at all": ({"on": []}, RecipeError, "no data"),
    "a folder without splits": ({"on": "photos/train"}, DataError, "val"),
    "a folder elsewhere": ({"on": "runs"}, DataError, "--data"),
    "no such task": ({"tasks": ["probe"]}, RecipeError, "linear"),
    "no evaluation": ({"tasks": ["pretrain"]}, RecipeError, "pretrain"),
    "too small": ({"size": 4}, RecipeError, "--size"),
    "no recipe's name": ({"to": Path("Mine.yaml")}, RecipeError, "Mine.yaml"),
    "no recipe's file": ({"to": Path("mine.txt")}, RecipeError, "mine.txt"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_message_before_anything_is_written(
    place: Path, site: Site, mistake: str
) -> None:
    asked, kind, named = MISTAKES[mistake]
    asked = {"weights": "tiny", "on": "embedded"} | asked
    with pytest.raises(kind, match=named):
        evaluating.write(site=site, **asked)
    assert not (place / "runs" / "evaluations").exists()
    assert not Path("mine.txt").exists()


def test_tasks_with_labels_of_their_own_stand_there_once(place: Path, site: Site) -> None:
    voc2007(place / "data", 2, 2)
    recipe = write(site, on=["embedded", "photos"], tasks=["few_shot", "svm"])
    kinds = {name: said.kind for name, said in recipe.tasks.items()}
    assert kinds == {
        "few_shot_embedded": "few_shot",
        "few_shot_photos": "few_shot",
        "svm_own": "svm",
    }
    assert recipe.tasks["svm_own"].data is None
    (place / "data" / "VOCdevkit").rename(place / "elsewhere")
    with pytest.raises(DataError, match="voc2007 missing"):
        write(site, tasks=["svm"], to=place / "other.yaml")


def test_settings_count_before_the_data_are_looked_for(place: Path, site: Site) -> None:
    usual = write(site, tasks=["knn"])
    assert usual.knn is not None
    few = write(site, tasks=["knn"], sets=["data.images=64"])
    assert few.knn is not None
    assert few.knn.k == (6,), "a tenth of the images that --set leaves"
    assert few.data.images == 64
    assert usual.knn.k != few.knn.k
    for n in range(40):
        folder = place / "data" / "flat" / "ab"[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 18), (n, 0, 0)).save(folder / f"{n}.png")
    with pytest.raises(DataError, match="train"):
        write(site, on="flat", tasks=["knn"])
    split = write(site, on="flat", tasks=["knn"], sets=["data.split=0.25"])
    assert split.data.split == 0.25
    assert split.knn is not None
    assert split.knn.k == (3,), "a tenth of 30"
    sets = ["tasks.knn_flat.data.split=0.25", "tasks.knn_flat.data.images=20"]
    further = write(site, on=["embedded", "flat"], tasks=["knn"], sets=sets)
    assert further.tasks["knn_flat"].model_dump()["k"] == (2,)


def test_the_usual_size_is_the_same_evaluation_said_or_not(site: Site) -> None:
    usual = evaluating.write("tiny", "photos", site, tasks=["knn"])
    side = load_recipe(usual.recipe).data.size
    again = evaluating.write("tiny", "photos", site, tasks=["knn"], size=side)
    assert (again.recipe, again.new) == (usual.recipe, False)


def test_a_recipe_may_be_named_by_digits(place: Path, site: Site) -> None:
    made = evaluating.write("tiny", "photos", site, tasks=["knn"], to=place / "2024.yaml")
    assert load_recipe(made.recipe).name == "2024"


def test_a_folder_may_be_called_as_a_data_set(place: Path, site: Site) -> None:
    shutil.copytree(place / "data" / "photos", place / "data" / "mine" / "embedded")
    made = write(site, on=["embedded", "mine/embedded"], tasks=["knn"])
    (other,) = made.tasks.values()
    assert other.data is not None
    assert other.data.folder == "mine/embedded"


@pytest.mark.parametrize("wrong", ["data.images=many", "data.nothing=1", "optim.lr=x"])
def test_a_setting_that_cannot_be_accepted_writes_nothing(site: Site, wrong: str) -> None:
    with pytest.raises(RecipeError, match=wrong.partition("=")[0]):
        write(site, sets=[wrong])
    assert not (site.runs / "evaluations").exists()
