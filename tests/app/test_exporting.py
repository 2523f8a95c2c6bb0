"""Exports of real runs: which run is meant, what may be exported, and what the card says of it."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
from stage.tiny import TEXT, final_state, recipe_of, run, write

import harness
from harness.app import Exported, export
from harness.errors import HarnessError, RecipeError, StoreError
from harness.model.encoder import Encoder
from harness.site import Site
from harness.store.layout import StageFolder

SMALL = (
    "model.backbone=resnet18",
    "data.images=32",
    "data.size=16",
    "optim.epochs=1",
    "knn.k=[5]",
    "knn.queries=20",
    "linear.epochs=1",
    "linear.drops=[]",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe small.yaml and its finished run."""
    place = tmp_path_factory.mktemp("trained")
    (place / "small.yaml").write_text(TEXT.replace("name: tiny", "name: small"))
    run(place / "small.yaml", place / "runs", SMALL)
    return place


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    shutil.copytree(trained, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path / "place"


@pytest.fixture
def site(place: Path) -> Site:
    return harness.load_site(runs=place / "runs")


def stage(place: Path, kind: str) -> StageFolder:
    (found,) = (place / "runs").glob(f"small-s0.{kind}-*")
    return StageFolder(found)


def facts(made: Exported) -> dict[str, str]:
    """The card's table."""
    rows = [line for line in made.files[-1].read_text().splitlines() if line.startswith("| ")]
    pairs = (row.removeprefix("| ").removesuffix(" |").partition(" | ") for row in rows)
    return {key: value for key, _, value in pairs}


def metadata(path: Path) -> dict[str, str]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found


def query(folder: StageFolder) -> Encoder:
    """The encoder in the stage's checkpoint."""
    made = Encoder(recipe_of(folder).model)
    state = final_state(folder)["mechanism"]
    own = {k.removeprefix("query."): v for k, v in state.items() if k.startswith("query.")}
    made.load_state_dict(own)
    return made.eval()


def test_a_run_is_torchvisions_network(place: Path, site: Site) -> None:
    """Trained weights and running statistics, by the real library, in float64."""
    from torchvision.models import resnet18

    made = export("small", "torchvision", site)
    assert made.written
    assert made.stage == stage(place, "pretrain").id
    assert made.folder.parent == place / "runs" / "exports"
    assert made.sha256 == hashlib.sha256(made.weights.read_bytes()).hexdigest()
    assert made.sha256 in facts(made)["SHA-256"]
    model = resnet18()
    model.fc = torch.nn.Identity()
    model.load_state_dict(torch.load(made.weights, weights_only=True))
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        ours = query(stage(place, "pretrain")).double().backbone(x)
        assert (model.eval().double()(x) - ours).abs().max() <= 1e-6
    assert not export("small", "torchvision", site).written


def test_the_card(place: Path, site: Site) -> None:
    made = export("small", "timm", site)
    pretrain, knn, linear = (stage(place, kind) for kind in ("pretrain", "knn", "linear"))
    result, said = pretrain.result, facts(made)
    assert result is not None
    assert said["stage"] == pretrain.id
    assert (said["edition"], said["checkpoint"]) == (result["edition"], result["weights"])
    assert said["data fingerprint"] == result["data"]["fingerprint"]
    assert (said["epochs"], said["steps"]) == ("1", "2 of 16 images")
    assert (said["mean"], said["std"]) == ("0.5, 0.5, 0.5", "0.25, 0.25, 0.25")
    assert said["channel order"] == "RGB"
    assert said["batch norm group"].startswith("8 images")
    assert "query encoder's own" in said["running statistics"]
    attempt = json.loads((pretrain.attempts()[-1] / "attempt.json").read_text())
    assert said["commit"].startswith(attempt["code"]["commit"] or "unknown")
    for folder, label in ((knn, "kNN top-1"), (linear, "linear probe top-1")):
        assert folder.result is not None
        (value,) = (v for name, v in folder.result["values"].items() if "@" not in name)
        assert said[label].startswith(f"{value:.2f} %")
        assert folder.id in said[label]
    told = metadata(made.weights)
    assert told["recipe_digest"] == said["recipe digest"]
    assert pretrain.described is not None
    assert json.loads(told["recipe_resolved"]) == pretrain.described["recipe"]
    assert told["linear_probe_top-1"] == said["linear probe top-1"]


def test_only_results_that_count_are_told(place: Path, site: Site) -> None:
    knn, linear = stage(place, "knn"), stage(place, "linear")
    for folder, field, value in ((knn, "edition", "0" * 12), (linear, "weights", "0" * 12)):
        for path in (folder.path / "result.json", folder.attempts()[-1] / "attempt.json"):
            path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    said = facts(export("small", "torchvision", site))
    assert said["kNN top-1"].startswith("none")
    assert "stale" in said["kNN top-1"]
    assert said["linear probe top-1"].startswith("none")
    shutil.rmtree(knn.path)
    shutil.rmtree(linear.path)
    said = facts(export("small", "torchvision", site, to=place / "other"))
    assert said["kNN top-1"] == said["linear probe top-1"] == "none (not measured)"


def test_the_key_encoder_and_whose_statistics_it_has(place: Path, site: Site) -> None:
    pretrain = stage(place, "pretrain")
    made = export("small", "torchvision", site, key=True)
    weights = torch.load(made.weights, weights_only=True)
    state = final_state(pretrain)["mechanism"]
    assert torch.equal(weights["conv1.weight"], state["key.backbone.conv1.weight"])
    assert not torch.equal(weights["conv1.weight"], state["query.backbone.conv1.weight"])
    assert torch.equal(weights["bn1.running_mean"], state["query.backbone.bn1.running_mean"])
    said = facts(made)
    assert said["encoder"] == "key"
    assert said["running statistics"].startswith("the query encoder's")
    assert any("query encoder's" in note for note in made.notes)
    assert said["kNN top-1"].startswith("none")  # it was measured of the query encoder


def test_the_head(place: Path, site: Site) -> None:
    made = export("small", "torchvision", site, head=True)
    weights = torch.load(made.weights, weights_only=True)
    state = final_state(stage(place, "pretrain"))["mechanism"]
    assert torch.equal(weights["fc.weight"], state["query.head.weight"])
    assert "fc.weight" not in torch.load(
        export("small", "torchvision", site).weights, weights_only=True
    )
    with pytest.raises(RecipeError):
        export("small", "detectron2", site, head=True)


def test_every_way_to_name_a_run(place: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrain, linear = stage(place, "pretrain"), stage(place, "linear")
    for word in (
        pretrain.id,
        linear.id,
        f"runs/{pretrain.id}",
        str(linear.path),
        "small-s0",
        "mall-s",
    ):
        assert export(word, "timm", site).stage == pretrain.id
    assert export("small.yaml", "timm", site, sets=SMALL).stage == pretrain.id
    monkeypatch.chdir(pretrain.path)
    assert export(".", "timm", site).stage == pretrain.id


def test_a_run_in_another_run_root(place: Path, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    site = harness.load_site(runs=tmp_path / "else")
    made = export(stage(place, "pretrain").path, "timm", site)
    assert made.folder.parent == place / "runs" / "exports"


@pytest.mark.parametrize("word", ["", "nothing", "runs", "nothing/at/all", "small.yaml"])
def test_what_names_no_run(place: Path, site: Site, word: str) -> None:
    with pytest.raises(HarnessError):  # small.yaml without --set is a recipe that was never run
        export(word, "timm", site)
    assert not (place / "runs" / "exports").exists()


def test_a_recipe_stands_for_the_run_that_it_asks_for(place: Path, site: Site) -> None:
    """Not for one of its name with other settings, which is named instead."""
    with pytest.raises(StoreError, match="small-s0"):
        export(place / "small.yaml", "timm", site)


def test_several_runs_are_told_apart(place: Path, site: Site) -> None:
    run(place / "small.yaml", place / "runs", (*SMALL, "seed=1"), kinds=("pretrain",))
    with pytest.raises(StoreError) as caught:
        export("small", "timm", site)
    assert "small-s0" in str(caught.value)
    assert "small-s1" in str(caught.value)
    assert export("small-s1", "timm", site).stage.startswith("small-s1.pretrain")


@pytest.mark.parametrize("state", ["interrupted", "diverged"])
def test_unfinished_is_refused(place: Path, site: Site, state: str) -> None:
    folder = stage(place, "pretrain")
    result = json.loads((folder.path / "result.json").read_text())
    (folder.path / "result.json").unlink()
    if state == "diverged":
        ended = folder.attempts()[-1] / "ended.json"
        ended.write_text(json.dumps(json.loads(ended.read_text()) | {"how": state}))
        (folder.path / "result.json").write_text(json.dumps(result | {"state": state}))
    with pytest.raises(StoreError, match=f"pre-training is {state}"):
        export("small", "timm", site)
    assert not (place / "runs" / "exports").exists()


def test_another_checkpoint_than_the_results_is_refused(place: Path, site: Site) -> None:
    folder = stage(place, "pretrain")
    (newest,) = folder.checkpoints.glob("step-00000002-*.pt")
    content = newest.read_bytes()
    newest.write_bytes(content[:-1])
    with pytest.raises(StoreError, match="digest"):
        export("small", "timm", site)
    other = torch.load(io.BytesIO(content), weights_only=True)
    other["mechanism"]["query.backbone.conv1.weight"] += 1
    torch.save(other, newest)
    digest = hashlib.sha256(newest.read_bytes()).hexdigest()[:12]
    newest.rename(newest.with_name(f"step-00000002-{digest}.pt"))
    with pytest.raises(StoreError, match="digest"):
        export("small", "timm", site)


def test_a_changed_recipe_is_refused(place: Path, site: Site) -> None:
    path = stage(place, "pretrain").path / "stage.json"
    text = path.read_text()
    assert '"name": "embedded"' in text
    path.write_text(text.replace('"bn_group": 8', '"bn_group": 4'))
    with pytest.raises(StoreError):
        export("small", "timm", site)


def test_a_copy_is_refused(place: Path, site: Site) -> None:
    folder = stage(place, "pretrain")
    copy = folder.path.with_name(folder.id.replace("-s0", "-s7"))
    shutil.copytree(folder.path, copy)
    with pytest.raises(StoreError):
        export(copy, "timm", site)


def test_what_no_library_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sets = ("optim.epochs=0", "contrast={kind: memory_bank, negatives: 8, temperature: 0.1}")
    run(write(tmp_path), tmp_path / "runs", sets, kinds=("pretrain",))
    site = harness.load_site(runs=tmp_path / "runs")
    with pytest.raises(RecipeError, match="miniature"):
        export("tiny", "torchvision", site)
    bank = (*sets, "model.backbone=resnet18", "data.images=16", "seed=1", "knn.k=[5]")
    run(write(tmp_path), tmp_path / "runs", bank, kinds=("pretrain",))
    with pytest.raises(RecipeError, match="memory_bank"):
        export("tiny-s1", "torchvision", site, key=True)
    made = export("tiny-s1", "torchvision", site)
    assert any("random" in note for note in made.notes)


def test_an_unknown_format(site: Site) -> None:
    with pytest.raises(RecipeError, match="torchvision"):
        export("small", "keras", site)
