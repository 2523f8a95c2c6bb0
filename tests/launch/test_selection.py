from __future__ import annotations

import pytest
from launch.world import World

from harness.errors import StoreError
from harness.launch import selection

IDS = [
    "tiny-s0.knn-0a", "tiny-s0.pretrain-0b", "tiny-s1.pretrain-0c",
    "tiny-s10.pretrain-0d", "tiny.m0.9-s0.pretrain-0e", "other-s0.linear-0f",
]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "stage"),
    [("tiny-s0.knn-0a", 0), ("0b", 1), ("s1.", 2), ("s10", 3), ("m0.9", 4), ("linear", 5)],
)
def test_one_stage(word: str, stage: int) -> None:
    assert selection.one(word, IDS) == IDS[stage]


@pytest.mark.parametrize(
    ("word", "run"),
    [
        ("tiny-s0", {0, 1}),
        ("tiny-s1", {2}),
        ("tiny-s0.knn-0a", {0}),
        ("0a", {0}),
        ("m0.9", {4}),
        ("other", {5}),
    ],
)
def test_a_runs_stages(word: str, run: set[int]) -> None:
    assert set(selection.run(word, IDS)) == {IDS[n] for n in run}


def test_none_and_several() -> None:
    with pytest.raises(StoreError, match=r"none: no such stage; .*status --all"):
        selection.one("none", IDS)
    with pytest.raises(StoreError, match=r"matches 2 stages.*\n  tiny-s0.knn-0a\n"):
        selection.one("tiny-s0.", IDS)
    with pytest.raises(StoreError, match="matches 4 runs"):
        selection.run("tiny", IDS)
    with pytest.raises(StoreError, match="and 12 more"):
        selection.one("x", [f"x-s{n}.knn-0" for n in range(20)])


@pytest.mark.parametrize("word", ["", " "])
def test_an_empty_name_means_nothing(word: str) -> None:
    for choice in (selection.one, selection.run):
        with pytest.raises(StoreError, match="an empty name; moco-harness status --all"):
            choice(word, IDS[:1])


def test_what_is_known(world: World) -> None:
    assert selection.known(world.root) == []
    folder = world.stage()
    world.submit(folder, world.stage(run="tiny-s1"))
    (world.root / "tiny-s1.pretrain-0123456789" / "stage.json").unlink()
    (world.root / "reports").mkdir()
    assert selection.known(world.root) == [folder.id, "tiny-s1.pretrain-0123456789"]


def test_a_whole_name_wins_over_parts_of_others() -> None:
    ids = [f"tiny-s0.{task}-0{n}" for n, task in enumerate(("pretrain", "ft", "ft=t1", "ft=t2"))]
    assert selection.one("tiny-s0.ft", ids) == ids[1]
    assert selection.one("ft", ids) == ids[1]
    assert selection.one("ft=t2", ids) == ids[3]
    assert selection.one("own", ["own.pretrain-00", "own.x.pretrain-01"]) == "own.pretrain-00"
    with pytest.raises(StoreError, match="matches 2 stages"):
        selection.one("tiny-s0.ft", [*ids, "tiny-s0.ft-0f"])
