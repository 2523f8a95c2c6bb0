"""The page of all published reports: what it says was run, and what it leads to."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.recipe.ablation import CONTROL
from harness.recipe.find import shipped
from harness.report.collect import Results, collect
from harness.report.index import PAGE, overview
from harness.report.publish import publish
from harness.report.write import write_report
from report.build import Bench, momentum
from report.conftest import Collected, Make

PAPERS = {
    "data": {"name": "imagefolder", "folder": "imagenet", "size": 224},
    "tasks": {
        "boxes": {
            "kind": "detection",
            "detector": "small",
            "boxes": {"name": "coco2017"},
            "steps": 5,
            "batch": 16,
            "lr": 0.02,
            "schedule": {"kind": "cosine"},
            "shortest": [320],
            "longest": 533,
        }
    },
}


def again(bench: Bench, root: Path) -> Results:
    return collect(bench.expansion, bench.scale, root)


def test_the_index(runs: Path, gather: Collected, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    assert "Nothing is published yet." in overview(reports)[PAGE]
    bench = momentum(runs)
    root = publish(
        gather(bench), reports / "tiny" / "runs", recipe="recipes/tiny.yaml", sets=["a=1"]
    )
    write_report(again(bench, root), reports / "tiny")
    text = overview(reports)[PAGE]
    assert (
        "| [Momentum ablation, drawn images](tiny/report.md) ([page](tiny/report.html)) | " in text
    )
    said = "Of the paper's 4 claims: 3 reproduced, 1 not testable at this scale."
    assert f"| {said} | not known | 0.65 hours" in text
    assert "3 of the 3 that are reproduced are of tables that are not shown to be fixed" in text
    assert "0.05." in text
    assert " 5%" in text
    assert "![Momentum ablation, drawn images](tiny/knn.svg)" in text
    assert (
        "```bash\nmoco-harness report recipes/tiny.yaml --set a=1 --runs reports/tiny/runs "
        "--out reports/tiny\n```\n" in text
    )
    results = reports / "tiny" / "results.json"
    before = results.read_text()
    plan = {
        "standing": "before",
        "commit": "a" * 40,
        "committed": "2026-11-29 08:25:03 UTC",
        "first_run": "2026-11-29 08:25:16 UTC",
        "of_runs": {"b" * 40: True},
        "rule_changed": ["report/testable.py"],
    }
    results.write_text(json.dumps({**json.loads(before), "preregistered": plan}))
    fixed = " ".join(overview(reports)[PAGE].split())
    assert "fixed before their runs: 1 of the 1; in 1 of these, a file of the rule's code" in fixed
    results.write_text(before)
    assert "gate.md" not in text, "there is none"
    assert "Possible reasons" not in text
    results = reports / "tiny" / "results.json"
    whole = json.loads(results.read_text())
    del whole["claims"]
    results.write_text(json.dumps(whole))
    with pytest.raises(StoreError, match=r"tiny/results\.json: damaged"):
        overview(reports)
    results.write_text('{"format": 1}')
    with pytest.raises(StoreError, match="write it again"):
        overview(reports)


def test_the_command_that_makes_a_report_again_can_be_pasted(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    bench, reports = make(), tmp_path / "reports"
    bench.finish("m0.9", 0, 40.0)
    sets = ["optim.schedule={kind: cosine}"]
    root = publish(gather(bench), reports / "tiny" / "runs", recipe="my tiny.yaml", sets=sets)
    write_report(again(bench, root), reports / "tiny")
    (line,) = (
        line for line in overview(reports)[PAGE].splitlines() if "moco-harness report" in line
    )
    assert shlex.split(line)[2:5] == ["my tiny.yaml", "--set", *sets]


def test_the_index_leads_to_what_other_commands_measured(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    reports = tmp_path / "reports"
    claims = [
        {"kind": "fails", "id": "zero", "cell": "m0", "says": "Zero fails."},
        {
            "kind": "beats",
            "id": "own",
            "cell": "m0.9",
            "over": CONTROL,
            "by": "ours",
            "says": "So.",
        },
    ]
    bench = make(
        scale_changes={"discussion": ["It <may> be late."]}, ablation_changes={"claims": claims}
    )
    for cell, value in (("m0", 15.0), ("m0.9", 40.0), (CONTROL, 14.0)):
        bench.finish(cell, 0, value)
    root = publish(gather(bench), reports / "tiny" / "runs", recipe="r.yaml")
    write_report(again(bench, root), reports / "tiny")
    (reports / "bench").mkdir()
    for page in ("bench/README.md", "gate.md"):
        (reports / page).write_text("numbers")
    text = overview(reports)[PAGE]
    assert "- [bench/README.md](bench/README.md): " in text
    assert "- [gate.md](gate.md): " in text
    assert "faults.md" not in text
    assert (
        "Of the paper's 1 claim: 1 looks reproduced (one seed). Our own 1 check: 1 looks "
        "reproduced (one seed)." in text
    )
    own = text[text.index("## Our own checks") :]
    assert "| So. | looks reproduced (one seed) | " in own
    assert "| Zero fails." in text.removesuffix(own)
    assert "Possible reasons (not tested here):\n\n- It &lt;may&gt; be late.\n" in text


def test_only_data_that_a_result_was_made_from_was_used(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    """Of a plan at the papers' scale only the untrained network was run, and a task's masks."""
    reports = tmp_path / "reports"
    bench = make(recipe_changes=PAPERS, scale_changes={"level": "paper"})
    bench.finish(CONTROL, 0, 14.0)
    root = publish(gather(bench), reports / "tiny" / "runs", recipe="r.yaml")
    write_report(again(bench, root), reports / "tiny")
    text = overview(reports)[PAGE]
    assert "The runs used these data: imagenet." in text
    assert "No run here is at the scale of the papers' numbers." in text
    assert "COCO" in text
    found = {f"detection/{metric}": 1.0 for metric in ("ap", "ap50", "ap75")}
    bench.stage(CONTROL, 0, "boxes", found)
    root = publish(gather(bench), root, recipe="r.yaml")
    write_report(again(bench, root), reports / "tiny")
    text = overview(reports)[PAGE]
    assert "The runs used these data: coco2017, imagenet." in text
    assert "No run here used" not in text


def test_a_part_of_imagenet_is_not_imagenet(make: Make, gather: Collected, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    part = {"data": {"name": "imagefolder", "folder": "sets/imagenette", "size": 224}}
    bench = make(recipe_changes=part)
    bench.finish(CONTROL, 0, 14.0)
    root = publish(gather(bench), reports / "tiny" / "runs", recipe="r.yaml")
    write_report(again(bench, root), reports / "tiny")
    assert "No run here used ImageNet or COCO." in overview(reports)[PAGE]


def test_a_printed_table_stands_among_those_not_run_until_all_its_rows_were(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    reports, tables = tmp_path / "reports", tmp_path / "ablations"
    shutil.copytree(shipped("ablations"), tables)
    bench = make()
    for cell in bench.ablation.cells:
        bench.finish(cell.id, 0, 40.0)
    root = publish(gather(bench), reports / "tiny" / "runs", recipe="r.yaml")
    write_report(again(bench, root), reports / "tiny")
    lines = overview(reports)[PAGE].splitlines()
    assert "- Momentum of the key encoder (in part: [tiny](tiny/report.md))" in lines
    assert "- Encoders of several widths, against other methods" in lines


def test_the_page_is_the_same_from_inside_the_folder_of_reports(
    runs: Path, gather: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = tmp_path / "reports"
    shutil.copytree(shipped("ablations"), tmp_path / "ablations")
    bench = momentum(runs)
    root = publish(gather(bench), reports / "tiny" / "runs", recipe="r.yaml")
    write_report(again(bench, root), reports / "tiny")
    whole = overview(reports)
    monkeypatch.chdir(reports)
    assert overview(Path()) == whole
    monkeypatch.chdir(reports / "tiny")
    assert overview(Path("..")) == whole


def test_a_bar_in_a_claim_is_escaped_once(make: Make, gather: Collected, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    claim = {"kind": "fails", "id": "zero", "cell": "m0", "says": "The norm |x| is small."}
    bench = make(ablation_changes={"claims": [claim]})
    for cell, value in (("m0", 15.0), (CONTROL, 14.0)):
        bench.finish(cell, 0, value)
    root = publish(gather(bench), reports / "tiny" / "runs", recipe="r.yaml")
    write_report(again(bench, root), reports / "tiny")
    assert r"| The norm \|x\| is small." in overview(reports)[PAGE]


def test_a_claim_that_two_tables_judge_is_counted_as_one(
    runs: Path, gather: Collected, tmp_path: Path
) -> None:
    reports = tmp_path / "reports"
    bench = momentum(runs)
    for name in ("one", "two"):
        root = publish(gather(bench), reports / name / "runs", recipe="r.yaml")
        write_report(again(bench, root), reports / name)
    counts = "8 verdicts (4 different claims): 6 reproduced (3 different claims), "
    assert f"The papers' claims have {counts}2 not testable" in overview(reports)[PAGE]
    results = reports / "two" / "results.json"
    other = json.loads(results.read_text()) | {"paper": "Another paper, Table 1"}
    results.write_text(json.dumps(other))
    assert "claims have 8 verdicts: 6 reproduced, 2 not testable" in overview(reports)[PAGE]
