"""A run that continues another, killed while it trains, ends with the bits of one that is not."""

import shutil
from pathlib import Path

from harness.store import journal
from harness.store.layout import StageFolder

from .test_two_processes import start
from .tiny import TEXT, final_state, run, same, write

EPOCHS = ("optim.epochs=14", "linear=null")


def continued(runs: Path, source: StageFolder) -> list[StageFolder]:
    """The stages that continue it, as far as they have begun."""
    found = runs.glob("longer-s0.pretrain-*")
    return [StageFolder(path) for path in found if path.name != source.id]


def test_killed_and_resumed(tmp_path: Path) -> None:
    runs, whole = tmp_path / "runs", tmp_path / "whole"
    source = run(write(tmp_path), runs, kinds=("pretrain",))["pretrain"]
    shutil.copytree(runs, whole)
    recipe = tmp_path / "longer.yaml"
    text = TEXT.replace("name: tiny", "name: longer") + f"continue_from: {source.id}\n"
    recipe.write_text(text)
    undisturbed = start(recipe, whole, *EPOCHS, processes=1)

    killed = start(recipe, runs, *EPOCHS, processes=1)
    killed.wait_for(
        lambda: any(any(f.checkpoints.glob("step-*.pt")) for f in continued(runs, source))
    )
    killed.kill()
    assert all(folder.result is None for folder in continued(runs, source)), "it was over before"
    for process in (start(recipe, runs, *EPOCHS, processes=1), undisturbed):
        ended = process.end()
        assert ended.code == 0, ended.out

    (one,), (other,) = continued(runs, source), continued(whole, source)
    assert len(one.attempts()) == 2
    assert same(final_state(one), final_state(other))
    assert one.result is not None
    assert other.result is not None
    assert one.result["continues"] == other.result["continues"]
    steps = [r["step"] for r in journal.read(one) if "train/loss" in r]
    assert steps == list(range(16, 71))
