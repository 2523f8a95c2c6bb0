"""What a table shows of the paper besides one number a row: other rows, columns, what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.recipe.ablation import CONTROL
from harness.report.claims import Judgement, judge
from harness.report.collect import Results, collect_single
from harness.report.document import compose
from harness.report.markdown import render
from harness.report.results_json import as_json
from harness.report.results_table import results_table
from harness.report.scale import is_papers_scale
from harness.report.table_text import text
from harness.store.edition import Editions
from report.build import ABLATION, EDITION, OLDER, Bench, recipe
from report.conftest import Collected

Make = Callable[..., Bench]

ROWS = [
    {"id": "other", "label": "Another method", "set": None, "printed": 40.0},
    *({**cell, "printed_runs": [54.0, 56.0]} for cell in ABLATION["cells"][1:2]),
    *ABLATION["cells"][2:3],
]
RUN = {"cells": ["m0.9", "m0.99"]}
OVER = [
    {"kind": "beats", "id": "ours", "cell": "m0.99", "over": "other", "says": "Ours is better."},
]
PAPERS: Mapping[str, Any] = {
    "data__name": "imagefolder",
    "data__folder": "imagenet",
    "data__images": None,
    "data__size": 224,
    "model__backbone": "resnet50",
    "optim__epochs": 200,
    "optim__batch": 256,
    "contrast__queue": 65536,
}


def report(results: Results) -> str:
    return render(compose(results, judge(results)))


def row(text: str, label: str) -> list[str]:
    """Of the main table, which comes first."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {label}"))
    return [part.strip() for part in line.strip("|").split("|")]


def test_another_methods_row_stands_in_the_table_and_is_not_run(
    make: Make, gather: Collected
) -> None:
    bench = make(ablation_changes={"cells": ROWS, "claims": []}, scale_changes=RUN)
    bench.finish("m0.99", 0, 44.0)
    found = gather(bench)
    assert row(report(found), "Another method")[1:] == ["40.0", "printed only", "–"]
    assert [cell.id for cell in found.cells if not cell.runs] == ["other"]


def test_a_mean_is_printed_with_its_runs(make: Make, gather: Collected) -> None:
    text = report(gather(make(ablation_changes={"cells": ROWS, "claims": []})))
    assert row(text, "0.9 ")[1] == "55.2 ± 1.41<br>(n = 2)"


def test_what_was_read_off_a_curve_says_so(make: Make, gather: Collected) -> None:
    text = report(gather(make(ablation_changes={"uncertainty": 0.7})))
    assert row(text, "0.9 ")[1] == "≈ 55.2"
    assert "a drawn curve, ±0.7" in text


def test_columns_to_come_and_facts_beside(make: Make, gather: Collected) -> None:
    columns = [
        {"label": "AP", "numbers": "ap", "awaits": "detection", "units": "%",
         "values": {"m0.9": 55.9, "m0.99": None}},
        {"label": "parameters", "numbers": "size", "units": "million", "values": {"m0": 24}},
    ]  # fmt: skip
    text = report(gather(make(ablation_changes={"columns": columns})))
    assert "paper<br>AP, %<br>(ours: needs detection)" in text
    assert "paper<br>parameters, million |" in text
    assert row(text, "0.9 ")[2:4] == ["55.9", "–"]
    assert row(text, "0 ")[2:4] == ["–", "24.0"]


def test_what_a_scale_changes_stands_beside_the_cell(make: Make, gather: Collected) -> None:
    changes = {
        "cells": ["m0.9", "m0.99"],
        "set": {"optim.epochs": 10},
        "set_cells": {"m0.9": {"contrast.queue": 192}, "m0.99": {"contrast.queue": 192}},
        "seeds": [5],
        "tuned_on": [{"seeds": [0, 1], "what": "two rates"}],
    }
    text = report(gather(make(seeds=(5,), scale_changes=changes)))
    assert row(text, "0.9<br>")[0] == "0.9<br>here: contrast.queue = 192"
    assert "- For every cell: optim.epochs = 10." in text
    assert "- For 0.9; 0.99: contrast.queue = 192." in text
    assert "- Not run: 0; 0.999." in text
    assert "- Tuned on seeds 0, 1: two rates." in text


# ---- costs


@pytest.fixture
def cost(make: Make) -> Bench:
    columns = [{"label": "time", "numbers": "hours", "metric": "cost/hours", "units": "hours",
                "values": {"m0": 53, "m0.9": 65}}]  # fmt: skip
    claims = [{"kind": "beats", "id": "more", "cell": "m0.9", "over": "m0", "says": "More memory."}]
    bench = make(
        ablation_changes={"metric": "cost/memory", "columns": columns, "claims": claims},
        scale_changes={"metric": "cost/memory", "control": False, "cells": ["m0", "m0.9"]},
    )
    for cell, memory in (("m0", 5.0), ("m0.9", 7.5)):
        bench.finish(cell, 0, 40.0)
        measure(bench, cell, 0, memory)
    return bench


def measure(bench: Bench, cell: str, seed: int, memory: float) -> None:
    """What the cell's finished pre-training needed, put into its result."""
    path = bench.folder(cell, seed).path / "result.json"
    measured = f'"images_per_s": 100, "memory_gb": {memory}, "step"'
    path.write_text(path.read_text().replace('"step"', measured))


def test_memory_and_time_come_from_the_results(cost: Bench, gather: Collected) -> None:
    text = report(gather(cost))
    assert "ours<br>peak memory of a device, GB" in text
    assert "ours<br>time of 200 epochs, hours" in text
    hours = 310 * 64 / 10 * 200 / 100 / 3600  # steps x batch / epochs: images of an epoch
    assert row(text, "0.9 ")[1:] == ["55.2", "65.0", "7.50 (1 seed)", f"{hours:.2f} (1 seed)"]
    assert "ours<br>kNN top-1" not in text


def test_a_claim_has_the_printed_numbers_of_what_it_is_judged_by(
    cost: Bench, gather: Collected
) -> None:
    def printed(**changes: Any) -> list[Any]:
        cost.scale_changes = {**cost.scale_changes, "metric": "cost/hours", **changes}
        found = gather(cost)
        (claim,) = as_json(found, judge(found), [])["claims"]
        return [each["value"] for each in claim["printed"]["values"]]

    assert printed() == [65, 53]
    assert printed(untestable={"more": "Memory is measured on a GPU."}) == [55.2, "fail"]


def test_a_claim_about_memory_needs_no_untrained_control(cost: Bench, gather: Collected) -> None:
    (found,) = judge(gather(cost))
    assert found.verdict == "looks reproduced (one seed)"


def test_memory_that_was_not_measured_is_no_number(make: Make, gather: Collected) -> None:
    bench = make(scale_changes={"metric": "cost/memory", "control": False})
    bench.finish("m0.9", 0, 40.0)
    assert "GB" in report(gather(bench))
    found = gather(bench)
    cell = found.cell("m0.9")
    assert cell is not None
    assert [value.value for value in found.values(cell)] == [None]


def test_costs_of_two_editions_are_not_averaged_before_the_first_evaluation(
    make: Make, gather: Collected
) -> None:
    bench = make((0, 1), scale_changes={"metric": "cost/memory", "control": False})
    for seed, edition in enumerate((EDITION, OLDER)):
        bench.pretrain("m0.9", seed, edition=edition)
        measure(bench, "m0.9", seed, 5.0 + 4 * seed)
    found = gather(bench)
    cell = found.cell("m0.9")
    assert cell is not None
    assert [value.standing for value in found.values(cell)] == ["finished", "stale"]
    summary = found.summary(cell)
    assert summary is not None
    assert (summary.n, summary.mean) == (1, 5.0)
    assert found.warnings[0].startswith("Stale: m0.9 (seed 1).")


# ---- the scale of the printed numbers


def judged(make: Make, gather: Collected, seeds: tuple[int, ...], **changes: Any) -> Judgement:
    bench = make(
        seeds=seeds,
        ablation_changes={"cells": ROWS, "claims": OVER, "metric": "knn/top1"},
        scale_changes={**RUN, "level": "paper"},
        **changes,
    )
    for seed in seeds:
        bench.finish("m0.99", seed, 44.0 + 0.1 * seed)
        bench.finish(CONTROL, seed, 10.0)
    (found,) = judge(gather(bench))
    return found


def test_a_printed_row_is_beaten_at_the_papers_scale_only(make: Make, gather: Collected) -> None:
    found = judged(make, gather, (0, 1, 2), recipe_changes=PAPERS)
    assert found.verdict == "reproduced"
    found = judged(make, gather, (0, 1, 2))
    assert found.verdict == "not testable at this scale"
    assert "other" in found.evidence


@pytest.mark.parametrize(
    ("printed_at", "level", "recipe", "papers"),
    [
        ("paper", "paper", PAPERS, True),
        ("paper", None, PAPERS, False),
        ("paper", "paper", {}, False),
        ("paper", "cpu", PAPERS, False),
        ("cifar10", "cifar10", {}, True),
        ("cifar10", "quick", {}, False),
    ],
)
def test_whose_numbers_may_be_compared(
    make: Make,
    gather: Collected,
    printed_at: str,
    level: str | None,
    recipe: Mapping[str, Any],
    papers: bool,
) -> None:
    bench = make(
        ablation_changes={"printed_at": printed_at},
        scale_changes={"level": level},
        recipe_changes=recipe,
    )
    found = gather(bench)
    assert is_papers_scale(found) is papers
    assert ("The scale of the printed numbers" in report(found)) is papers


@pytest.mark.parametrize("level", ["cifar10", "cpu"])
def test_at_the_printed_scale_ours_stand_against_the_papers(
    make: Make, gather: Collected, level: str
) -> None:
    bench = make(
        seeds=(0, 1),
        ablation_changes={"printed_at": "cifar10"},
        scale_changes={"level": level},
    )
    for seed, linear in ((0, 55.0), (1, 56.0)):
        bench.finish("m0.99", seed, 45.0, linear)
    rows = {row.key: [text(c).text for c in row.cells] for row in results_table(gather(bench)).rows}
    assert ("-2.30" in rows["m0.99"]) is (level == "cifar10"), "55.5 - 57.8"
    assert not any(said.startswith("-") for said in rows["m0"])


@pytest.mark.parametrize(
    ("printed", "epochs", "papers"),
    [(80, 80, True), (80, 79, False), (200, 80, False), (None, 2, True)],
)
def test_a_tables_own_epochs_are_the_papers(
    make: Make, gather: Collected, printed: int | None, epochs: int, papers: bool
) -> None:
    bench = make(
        ablation_changes={"printed_epochs": printed},
        scale_changes={"level": "paper"},
        recipe_changes={**PAPERS, "optim__epochs": epochs},
    )
    assert is_papers_scale(gather(bench)) is papers


@pytest.mark.parametrize(
    ("changes", "papers"),
    [
        ({"model__backbone": "resnext50_32x8d"}, True),
        ({"optim__batch": 512, "contrast__queue": 8192}, True),
        ({"optim__epochs": 100}, False),
        ({"data__size": 160}, False),
    ],
)
def test_a_single_recipe_at_the_papers_scale_may_have_another_network(
    runs: Path, changes: Mapping[str, Any], papers: bool
) -> None:
    found = collect_single(recipe(**{**PAPERS, **changes}), runs, installed=Editions.same(EDITION))
    assert is_papers_scale(found) is papers
