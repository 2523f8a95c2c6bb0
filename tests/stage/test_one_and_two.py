"""The whole stages, run by one process and by two, give the same journal and results."""

from pathlib import Path

import pytest
from gloo import Pool

from harness.store import journal

from .tiny import final_state, run, write
from .together import run_stages


@pytest.mark.parametrize("views", ["center", "random_crop"])
def test_a_run_by_two_processes_is_the_run_by_one(gloo: Pool, tmp_path: Path, views: str) -> None:
    recipe = write(tmp_path, old="views: center", new=f"views: {views}")
    alone = run(recipe, tmp_path / "alone")
    run(recipe, tmp_path / "both", kinds=())  # names the folders
    gloo.run(run_stages, 2, str(recipe), str(tmp_path / "both"), timeout=120)
    both = run(recipe, tmp_path / "both", kinds=())
    for kind in ("pretrain", "knn", "linear"):
        one, two = alone[kind].result, both[kind].result
        assert one is not None
        assert two is not None
        assert two["processes"] == 2
        assert two["values"] == pytest.approx(one["values"], rel=1e-4)
    losses = [
        [loss for _, _, loss in journal.series(journal.read(found["pretrain"]), "train/loss")]
        for found in (alone, both)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert len(both["pretrain"].attempts()) == 1
    queues = [final_state(found["pretrain"])["mechanism"]["queue.keys"] for found in (alone, both)]
    assert queues[1].sub(queues[0]).abs().max() < 1e-3
