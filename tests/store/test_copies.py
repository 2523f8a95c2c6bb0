"""Which results may be copies of each other."""

from __future__ import annotations

from typing import Any

from harness.store.validity import copies


def test_two_trainings_never_share_weights_nor_two_seeds_their_losses() -> None:
    def stage(
        id_: str, weights: str | None, loss: float | None, parent: str | None = None
    ) -> tuple[str, tuple[dict[str, Any], dict[str, Any]]]:
        values = {"knn/top1": 40.0} | ({} if loss is None else {"train/loss": loss})
        return id_, ({"id": id_, "parent": parent}, {"weights": weights, "values": values})

    one, other = "a-s0.pretrain-1", "a-s1.pretrain-2"
    assert copies(dict([stage(one, "w", 2.5), stage(other, "w", 2.6)])) == {
        one: ("weights", (other,)),
        other: ("weights", (one,)),
    }
    assert copies(dict([stage(one, "w", 2.5), stage(other, "v", 2.5)])) == {
        one: ("losses", (other,)),
        other: ("losses", (one,)),
    }
    first, second = "b-s8.x-s0.pretrain-1", "b-s8.x-s1.pretrain-2"
    assert len(copies(dict([stage(first, "w", 2.5), stage(second, "v", 2.5)]))) == 2
    fine = [
        [stage(one, "w", 2.5), stage(other, "v", 2.6)],
        [stage(one, "w", None), stage(other, "v", None)],  # given weights: the same for each seed
        [stage(one, "w", 2.5), stage("b-s0.pretrain-2", "v", 2.5)],  # one seed, two names
        [stage("a-s0.knn-1", "w", None, one), stage("a-s0.knn-2", "w", None, one)],
        [stage(one, None, None), stage(other, None, None)],
        # "-s8" is of the names, and the seed is the same
        [stage("b-s8.x-s0.pretrain-1", "w", 2.5), stage("b-s9.x-s0.pretrain-2", "v", 2.5)],
    ]
    for each in fine:
        assert copies(dict(each)) == {}
    known = dict([stage(one, "w", 2.5), stage(other, "w", 2.5)])
    known[other][0]["id"] = one  # a copy that says so: the other is none
    assert copies(known) == {}
