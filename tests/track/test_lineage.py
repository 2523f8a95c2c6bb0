from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.track import alerts, lineage
from harness.track.mirror_state import ID_LIMIT
from harness.track.protocol import Artifact

from .conftest import FakeWandb, Stage, mirror, record

DATA: dict[str, str | int] = {
    "name": "digits",
    "fingerprint": "8f8231f554da",
    "train": 90,
    "path": "/home/me/data",
}
KNN = "tiny-s0.knn-0123456789"


def pretrained(runs: Path, **more: Any) -> Stage:
    made = Stage(runs)
    made.attempt(1, record(1))
    made.finish(weights="a3d518a587b4", data=DATA, **more)
    return made


def evaluated(runs: Path, above: Stage, value: float = 40.0, **more: Any) -> Stage:
    made = Stage(runs, KNN, kind="knn", parent=above.folder.id, **more)
    made.attempt(1, {"step": 4, "epoch": 1.0, "t": 1e9, "knn/top1": value})
    made.finish(values={"knn/top1": value}, weights="a3d518a587b4", data=DATA)
    return made


def key(artifact: Artifact) -> tuple[str, str, tuple[str, ...]]:
    return artifact.name, artifact.kind, tuple(artifact.references.values())


def used(stage: Stage) -> list[Artifact]:
    return list(lineage.used(stage.folder, stage.folder.result or {}))


def test_what_one_stage_made_is_what_the_next_one_used(runs: Path) -> None:
    above = pretrained(runs)
    below = evaluated(runs, above)
    weights = lineage.made(above.folder)
    assert weights is not None
    data, parents = used(below)
    assert key(parents) == key(weights)
    assert [key(each) for each in used(above)] == [key(data)]
    assert (data.kind, weights.kind) == ("dataset", "model")
    assert all("a3d518a587b4" in place for place in weights.references.values())
    assert all("8f8231f554da" in place for place in data.references.values())
    result = lineage.made(below.folder)
    assert result is not None
    assert (result.kind, result.metadata["knn/top1"]) == ("evaluation", 40.0)


def test_another_content_is_another_artifact(runs: Path, tmp_path: Path) -> None:
    first = evaluated(runs, pretrained(runs))
    other = evaluated(tmp_path / "other", pretrained(tmp_path / "other"), 41.0)
    results = [lineage.made(each.folder) for each in (first, other)]
    assert results[0]
    assert results[1]
    assert results[0].name == results[1].name
    assert results[0].references != results[1].references
    same = evaluated(tmp_path / "same", pretrained(tmp_path / "same"))
    assert lineage.made(same.folder) == results[0], "wherever the run root lies"


def test_nothing_is_uploaded_and_no_folder_of_the_machine_is_named(runs: Path) -> None:
    above = pretrained(runs)
    below = evaluated(runs, above)
    for each in (
        *used(above),
        *used(below),
        lineage.made(above.folder),
        lineage.made(below.folder),
    ):
        assert each is not None
        assert not each.files
        assert str(runs) not in str(each)
        assert "/home/me" not in str(each)
        assert len(each.name) <= ID_LIMIT


def test_given_weights_are_an_input(runs: Path) -> None:
    given = {"name": "released/moco v2.pth", "sha256": "ab12", "path": "/data/released/moco v2.pth"}
    stage = pretrained(runs, inputs={"weights": given})
    *_, weights = used(stage)
    assert key(weights) == (
        "weights-moco-v2.pth",
        "model",
        ("moco-harness://weights/moco%20v2.pth/ab12",),
    )
    later = Stage(runs, "longer-s0.pretrain-0123456789")
    of_run = {"name": stage.folder.id, "sha256": "a3d518a587b4", "of": "run"}
    later.finish(weights="beef00000000", data=DATA, inputs={"weights": of_run})
    assert used(later)[-1] == lineage.made(stage.folder)


def test_a_stage_without_weights_still_has_a_result(runs: Path) -> None:
    stage = Stage(runs)
    assert lineage.made(stage.folder) is None
    stage.finish("diverged", weights=None)
    made = lineage.made(stage.folder)
    assert made is not None
    assert made.kind == "evaluation"


def test_what_needs_peoples_eyes(runs: Path) -> None:
    above = pretrained(runs)
    control = Stage(runs, "none-s0.knn-0123456789", kind="knn")
    below = evaluated(runs, above, 26.0, control=control.folder.id)

    def titles() -> list[str]:
        result = below.folder.result
        assert result is not None
        return [title for title, _ in alerts.of_result(below.folder, result)]

    assert titles() == []
    for value, wanted in ((25.9, 0), (26.0, 1), (27.0, 1)):
        control.finish(values={"knn/top1": value}, data=DATA)
        assert len(titles()) == wanted, value
    control.finish(values={"knn/top1": 27.0}, data={**DATA, "fingerprint": "other"})
    assert titles() == [], "it was measured on other data"
    assert list(alerts.of_values({"knn/top1": 26.0})) == []


def test_an_alert_comes_once_though_the_mirror_restarts(stage: Stage, wandb: FakeWandb) -> None:
    collapsed = {"health/collapsed": 2.0}
    stage.attempt(1, record(1), record(2, **collapsed))
    stage.checkpoint(2)
    first = mirror(stage, wandb)
    first.advance()
    first.advance()
    first._lock.release()  # as the system does when it dies
    stage.attempt(2, record(3, **collapsed))
    stage.finish("diverged", collapsed)
    mirror(stage, wandb).advance()
    (run,) = wandb.offline.values()
    titles = [title for title, _ in run.alerts]
    assert titles == ["collapsed since epoch 2", "diverged"]


def test_the_cell_of_an_ablation_is_flat_in_the_config(runs: Path, wandb: FakeWandb) -> None:
    recipe = {"contrast": {"momentum": 0.9}, "optim": {"schedule": {"kind": "step"}}}
    fields = ["contrast.momentum", "optim.schedule", "contrast.absent"]
    stage = Stage(runs, cell="m0.9", varies=fields, recipe=recipe)
    stage.attempt(1, record(1))
    stage.finish()
    mirror(stage, wandb).advance()
    (run,) = wandb.offline.values()
    found = {k: v for k, v in run.metadata.config.items() if k == "cell" or k.startswith("varies")}
    assert found == {
        "cell": "m0.9",
        "varies/contrast/momentum": 0.9,
        "varies/optim/schedule": json.dumps({"kind": "step"}),
        "varies/contrast/absent": None,
    }


def test_the_notes_have_the_command_without_secrets_and_folders(
    stage: Stage, wandb: FakeWandb
) -> None:
    stage.attempt(1, record(1))
    path = stage.folder.path / "attempts" / "0001" / "attempt.json"
    words = ["moco-harness", "run", "r.yaml", "--runs=/home/me/runs", "/home/me/x y.yaml"]
    path.write_text(json.dumps({"command": [*words, "--set", "a=b c"]}))
    stage.finish()
    mirror(stage, wandb).advance()
    (run,) = wandb.offline.values()
    assert run.metadata.notes == (
        "moco-harness run r.yaml '--runs=…/runs' '…/x y.yaml' --set 'a=b c'"
    )
