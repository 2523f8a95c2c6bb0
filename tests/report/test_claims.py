"""From run folders to verdicts in words; what decides them is tested in test_decision_rule.py."""

from __future__ import annotations

from typing import Any

import pytest

from harness.recipe.ablation import CONTROL
from harness.report.claims import Judgement, judge, next_seeds
from harness.report.results_table import results_table
from harness.report.table_text import heading, text
from report.build import OLDER, Bench
from report.conftest import Collected, Make


def claims(bench: Bench, gather: Collected) -> dict[str, Judgement]:
    return {each.claim.id: each for each in judge(gather(bench))}


def fill(bench: Bench, **values: Any) -> Bench:
    """Every cell by its name with _ for the dot; a value, or None for a diverged run."""
    for name, of_seeds in values.items():
        cell = CONTROL if name == CONTROL else name.replace("_", ".")
        for seed, value in zip(bench.seeds, of_seeds, strict=False):
            if value is None:
                bench.diverge(cell, seed)
            elif value != "absent":
                bench.finish(cell, seed, value)
    return bench


def test_one_seed_only_looks_like_something(make: Make, gather: Collected) -> None:
    bench = fill(make(), m0=[15.0], m0_9=[38.0], m0_99=[39.0], untrained=[14.0])
    found = claims(bench, gather)
    assert found["zero"].verdict == "looks reproduced (one seed)"
    assert found["slow"].verdict == "looks not reproduced (one seed)"
    assert "+1.00 points" in found["slow"].evidence
    assert "+25.00 points" in found["learns"].evidence


def test_seeds_are_paired(make: Make, gather: Collected) -> None:
    """Seeds differ by 20 points, the cells by 5 in each: unpaired, nothing could be told."""
    seeds = {"m0_9": [20, 30, 40.0], "m0_99": [25.1, 35, 44.9], "untrained": [5, 15, 25.0]}
    judgement = claims(fill(make((0, 1, 2)), **seeds), gather)["slow"]
    assert judgement.verdict == "reproduced"
    assert [part in judgement.evidence for part in ("+5.00 points", "3 seeds")] == [True, True]


@pytest.mark.parametrize("printed_at", ["paper", "cifar10"])
@pytest.mark.parametrize("level", [None, "cpu", "cifar10", "paper"])
def test_at_the_scale_of_the_printed_numbers_a_claim_is_refuted(
    make: Make, gather: Collected, printed_at: str, level: str | None
) -> None:
    bench = make(
        (0, 1, 2),
        scale_changes={"level": level} if level else {},
        ablation_changes={"printed_at": printed_at},
    )
    seeds = {"m0_9": [40, 40.1, 40.2], "m0_99": [30, 30.1, 30.1], "untrained": [5, 5.1, 5.1]}
    verdict = claims(fill(bench, **seeds), gather)["slow"].verdict
    assert verdict == ("refuted" if level == printed_at else "not reproduced")


def test_an_undecided_claim_says_what_it_needs(make: Make, gather: Collected) -> None:
    seeds = {"m0_9": [30, 30, 30.0], "m0_99": [33, 35, 32.0], "untrained": [5, 5.1, 5.2]}
    judgement = claims(fill(make((0, 1, 2)), **seeds), gather)["slow"]
    assert judgement.verdict == "undecided"
    assert judgement.words.startswith("undecided (")
    for said in (judgement.words, judgement.evidence):
        assert f" {judgement.needs} seeds" in said
    assert f" {(judgement.needs or 0) - 3} more of 3 cells, 0." in judgement.evidence
    assert "no further look is planned" in judgement.evidence
    planned = fill(make((0, 1, 2), scale_changes={"max_seeds": 4}), **seeds)
    judgement = claims(planned, gather)["slow"]
    assert (judgement.needs, judgement.most) == (5, 4)
    assert judgement.next_look == 4
    assert "4 seeds" in judgement.words
    assert "more than 4 seeds" in judgement.evidence
    assert "4 of at most 4 seeds" in judgement.evidence


def test_what_it_needs_is_a_look_that_is_planned(make: Make, gather: Collected) -> None:
    seeds = {"m0_9": [30, 30, 30.0], "m0_99": [33, 35, 34.5], "untrained": [5, 5.1, 5.2]}
    alone = claims(fill(make((0, 1, 2)), **seeds), gather)["slow"]
    bench = make((0, 1, 2), scale_changes={"max_seeds": 40})
    planned = claims(fill(bench, **seeds), gather)["slow"]
    assert alone.needs is not None
    assert planned.needs in (5, 8, 12, 18, 27, 40)
    assert f" {planned.needs} seeds" in planned.words
    assert alone.needs not in (5, 8, 12, 18, 27, 40), "the example shows no rounding"
    assert planned.needs > alone.needs


def test_a_cell_that_diverged_in_every_seed_has_failed_also_without_control(
    make: Make, gather: Collected
) -> None:
    bench = fill(make((0, 1), scale_changes={"control": False}), m0=[None, None])
    judgement = claims(bench, gather)["zero"]
    assert judgement.verdict == "reproduced"
    assert [part in judgement.evidence for part in ("m0 ", "2 of 2", "step 94")] == [True] * 3


def test_without_control_nothing_else_can_be_judged(make: Make, gather: Collected) -> None:
    bench = fill(make(scale_changes={"control": False}), m0=[15.0], m0_9=[30.0], m0_99=[40.0])
    for name in ("zero", "slow", "learns"):
        judgement = claims(bench, gather)[name]
        assert judgement.verdict == "not testable at this scale"
        assert "untrained control" in judgement.evidence


def test_a_diverged_seed_is_told(make: Make, gather: Collected) -> None:
    seeds = {"m0_9": [38.0, 38.0], "m0_99": [50.0, None], "untrained": [14.0, 14.1]}
    judgement = claims(fill(make((0, 1)), **seeds), gather)["slow"]
    assert judgement.verdict == "undecided"
    for part in ("m0.99 diverged", "1 of 2 seeds", "+12.00 points"):
        assert part in judgement.evidence


def test_what_has_learned_nothing_is_not_compared(make: Make, gather: Collected) -> None:
    seeds = {"m0_9": [14.1, 15.3, 16.0], "m0_99": [40, 41, 42.0], "untrained": [14, 15, 16.0]}
    judgement = claims(fill(make((0, 1, 2)), **seeds), gather)["slow"]
    assert judgement.verdict == "not testable at this scale"
    assert judgement.evidence.startswith("m0.9 ")
    assert "+0.13 points" in judgement.evidence


def test_a_slow_key_encoder_needs_steps(make: Make, gather: Collected) -> None:
    claim = {"kind": "monotone", "id": "up", "cells": ["m0.9", "m0.99", "m0.999"], "says": "Up."}
    bench = make(ablation_changes={"claims": [claim]}, recipe_changes={"contrast__queue": 250})
    judgement = claims(bench, gather)["up"]
    assert judgement.verdict == "not testable at this scale"
    momentum, negatives = judgement.evidence.split("; ")
    assert [word in momentum for word in ("m0.999", "310 steps", "3000")] == [True] * 3
    for part in ("K = 250", "2000 images", "m0.9, m0.99, m0.999"):
        assert part in negatives


LEAK = {
    "kind": "beats",
    "id": "leak",
    "cell": "m0.9",
    "over": "m0.99",
    "metric": "pretext/top1",
    "says": "It cheats.",
}


def test_a_claim_about_the_pretext_task_needs_its_accuracies(make: Make, gather: Collected) -> None:
    bench = make((0, 1, 2), ablation_changes={"claims": [LEAK]})
    for seed, shaken in enumerate((0.0, 0.2, -0.1)):
        bench.finish(CONTROL, seed, 14 + shaken)
        bench.finish("m0.9", seed, 30 + shaken, pretext=99 - shaken)
        bench.finish("m0.99", seed, 40.0, pretext=80.0 if seed else None)
    judgement = claims(bench, gather)["leak"]
    assert judgement.verdict == "incomplete"
    assert judgement.evidence.startswith("m0.99 ")
    assert [part in judgement.evidence for part in ("1 of 3 seeds", "seed 0")] == [True, True]
    bench.finish("m0.99", 0, 40.0, pretext=80.0)
    judgement = claims(bench, gather)["leak"]
    assert judgement.verdict == "reproduced"
    assert judgement.evidence.startswith("pretext accuracy")
    assert "+18.97 " in judgement.evidence


def test_a_table_about_the_pretext_task_shows_pretext_accuracies(
    make: Make, gather: Collected
) -> None:
    bench = make((0, 1), ablation_changes={"claims": [LEAK]})
    for seed, shaken in enumerate((0.0, 0.5)):
        bench.finish("m0.9", seed, 30.0, pretext=99 - shaken)
        bench.finish("m0.99", seed, 40.0)
    table = results_table(gather(bench))
    assert heading(table.columns[-1]) == "ours\npretext accuracy, %"
    shown = {row.key: text(row.cells[-1]).text for row in table.rows}
    assert shown["m0.9"] == "98.75 ± 0.35"
    assert shown["m0.99"] == "–"
    bench.finish("m0.99", 1, 40.0, pretext=80.0)
    table = results_table(gather(bench))
    shown = {row.key: text(row.cells[-1]).text for row in table.rows}
    assert shown["m0.99"] == "80.00 (1 of 2 seeds)"
    others = results_table(gather(make((0, 1)))).columns
    assert not any("pretext" in heading(column) for column in others)


def test_seeds_are_added_until_the_claims_are_decided(make: Make, gather: Collected) -> None:
    changes = {"max_seeds": 5, "tuned_on": [{"seeds": [3], "what": "epochs"}]}
    bench = make((0, 1, 2), scale_changes=changes)
    values = {"m0_9": [30, 30, 30.0], "m0_99": [34, 36, 33.5], "untrained": [5, 5.1, 5.2]}
    fill(bench, m0=[None, None, None], **values)
    found = claims(bench, gather)
    assert (found["zero"].verdict, found["slow"].verdict) == ("reproduced", "undecided")
    assert next_seeds(found.values(), bench.scale, most=4) == {}
    wanted = next_seeds(found.values(), bench.scale, most=5)
    assert wanted == {"m0.99": [4, 5], "m0.9": [4, 5], CONTROL: [4, 5]}  # 3 served for tuning
    for seed in (4, 5):
        for cell, value in (("m0.9", 30), ("m0.99", 34.6), (CONTROL, 5.2)):
            bench.finish(cell, seed, value)
    found = claims(bench, gather)
    assert found["slow"].verdict == "reproduced"
    assert "5 seeds" in found["slow"].evidence
    assert found["learns"].decision is not None
    assert found["learns"].decision.seeds == 3  # decided before
    assert next_seeds(found.values(), bench.scale, most=5) == {}


def test_a_missing_seed_leaves_the_claim_open_and_tells_the_numbers_so_far(
    make: Make, gather: Collected
) -> None:
    bench = fill(make((0, 1)), m0_99=[44.0, 44.0], m0_9=[38.0, "absent"], untrained=[14.0, 14.0])
    judgement = claims(bench, gather)["slow"]
    assert judgement.verdict == "incomplete"
    assert judgement.evidence.startswith("m0.9 lacks 1 of 2 seeds (seed 1 not run)")
    assert " far: m0.99 against m0.9: +6.00 points, one seed" in judgement.evidence


def test_seeds_that_were_not_run_are_told_together(make: Make, gather: Collected) -> None:
    evidence = claims(fill(make((0, 1, 2)), m0_9=[40.0], untrained=[9.0]), gather)["slow"].evidence
    assert "m0.99 lacks 3 of 3 seeds (not run)" in evidence
    assert "m0.9 lacks 2 of 3 seeds (seeds 1, 2 not run)" in evidence


def test_a_stale_result_judges_nothing(make: Make, gather: Collected) -> None:
    bench = fill(make(), m0_99=[44.0])
    bench.finish("m0.9", 0, 38.0, edition=OLDER)
    judgement = claims(bench, gather)["slow"]
    assert judgement.verdict == "incomplete"
    assert "1 of 1 seed (stale)" in judgement.evidence


def test_a_diverged_probe_says_nothing_about_the_pre_training(
    make: Make, gather: Collected
) -> None:
    bench = make(scale_changes={"metric": "linear/top1"})
    bench.finish("m0.9", 0, 38.0, 48.0)
    bench.pretrain("m0.99", 0)
    bench.stage("m0.99", 0, "linear", {}, state="diverged", message="lr 30: nan at step 7")
    judgement = claims(bench, gather)["slow"]
    assert judgement.verdict == "incomplete"
    assert "probe diverged" in judgement.evidence


def test_what_a_scale_cannot_test_it_does_not_judge(make: Make, gather: Collected) -> None:
    bench = fill(make(scale_changes={"untestable": {"slow": "Too few epochs."}}), m0_99=[44.0])
    judgement = claims(bench, gather)["slow"]
    assert judgement.verdict == "not testable at this scale"
    assert judgement.evidence == "Too few epochs."


def test_a_cell_that_the_scale_leaves_out_is_missing(make: Make, gather: Collected) -> None:
    bench = fill(make(scale_changes={"cells": ["m0.99"]}), m0_99=[44.0])
    judgement = claims(bench, gather)["slow"]
    assert judgement.verdict == "not testable at this scale"
    assert judgement.evidence.endswith(" m0.9")


def test_a_scale_may_run_two_cells_of_a_monotone_claim(make: Make, gather: Collected) -> None:
    cells = ["m0", "m0.9", "m0.99", "m0.999"]
    claim = {"kind": "monotone", "id": "up", "cells": cells, "says": "Up."}
    changes = {"cells": ["m0.9", "m0.99"]}
    bench = make((0, 1, 2), ablation_changes={"claims": [claim]}, scale_changes=changes)
    fill(bench, m0_9=[30, 31, 32.0], m0_99=[40, 41.1, 42.2], untrained=[14, 15, 16.0])
    judgement = claims(bench, gather)["up"]
    assert judgement.verdict == "reproduced"
    assert "m0.9, m0.99" in judgement.evidence
    assert "m0.999" not in judgement.evidence
    one = make((0, 1, 2), ablation_changes={"claims": [claim]}, scale_changes={"cells": ["m0.9"]})
    assert claims(one, gather)["up"].verdict == "not testable at this scale"


def test_two_looks_are_all(make: Make, gather: Collected) -> None:
    looks = [{"seeds": 3, "alpha": 0.02}, {"seeds": 6, "alpha": 0.03}]
    bench = make((0, 1, 2), scale_changes={"looks": looks})
    values = {"m0_9": [30, 30, 30.0], "m0_99": [34, 36, 31.5], "untrained": [5, 5.1, 5.2]}
    found = claims(fill(bench, **values), gather)
    assert found["slow"].verdict == "undecided"
    assert next_seeds(found.values(), bench.scale, most=6)["untrained"] == [3, 4, 5]
    for seed in (3, 4, 5):
        for cell, value in (("m0.9", 30), ("m0.99", 34.0 + seed / 10), (CONTROL, 5.2)):
            bench.finish(cell, seed, value)
    found = claims(bench, gather)
    assert found["slow"].decision is not None
    assert (found["slow"].decision.seeds, found["slow"].decision.analysis) == (6, 1)
    assert next_seeds(found.values(), bench.scale, most=6) == {}


def test_a_claim_of_its_own_metric_has_that_metrics_unit(make: Make, gather: Collected) -> None:
    claims = [{"kind": "beats", "id": "x", "cell": "m0.99", "over": "m0.9", "metric": "knn/top1",
               "says": "Slow is better."}]  # fmt: skip
    scale = {"metric": "cost/memory", "margin": None}
    bench = make((0, 1, 2), scale_changes=scale, ablation_changes={"claims": claims})
    for seed in (0, 1, 2):
        for cell, top1 in {"m0": 20.0, "m0.9": 38.0, "m0.99": 44.0, CONTROL: 14.0}.items():
            bench.finish(cell, seed, top1 + 0.1 * seed)
    (one,) = judge(gather(bench))
    assert "m0.99 is better than m0.9: +6.00 points" in one.evidence
