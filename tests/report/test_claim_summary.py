"""The paper's claims are counted apart from what we added."""

from __future__ import annotations

import json
from pathlib import Path

from harness.recipe.ablation import CONTROL
from harness.report import latex
from harness.report.claim_summary import count_verdicts, said_by, summary
from harness.report.claims import judge
from harness.report.write import write_report
from report.conftest import Collected, Make


def test_whose_claims_have_which_verdict() -> None:
    counts = count_verdicts(
        [("ours", "reproduced"), ("paper", "undecided"), ("paper", "undecided"),
         ("ours", "reproduced"), ("read_off", "refuted")]
    )  # fmt: skip
    assert list(counts) == ["paper", "read_off", "ours"]
    assert summary(counts) == (
        "Of the paper's 2 claims: 2 undecided. Of 1 claim derived from printed numbers: 1 refuted. "
        "Our own 2 checks: 2 reproduced."
    )
    looks = count_verdicts([("paper", "looks reproduced (one seed)")] * 2)
    assert summary(looks) == "Of the paper's 2 claims: 2 look reproduced (one seed)."
    assert summary(count_verdicts([])) == ""


def test_only_what_is_not_the_papers_is_marked() -> None:
    assert said_by("paper", "It helps.") == "It helps."
    assert said_by("ours", "It helps.") == "It helps. (our own check)"


def test_every_form_of_a_report_keeps_them_apart(
    make: Make, gather: Collected, tmp_path: Path
) -> None:
    claims = [
        {"kind": "beats", "id": "slow", "cell": "m0.99", "over": "m0.9", "says": "Slow is better."},
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
        ablation_changes={"claims": claims},
        scale_changes={"discussion": ["It <b>may</b> be late."]},
    )
    for cell, value in (("m0.9", 40.0), ("m0.99", 30.0), (CONTROL, 14.0)):
        bench.finish(cell, 0, value)
    found = gather(bench)
    write_report(found, tmp_path)
    counts = (
        "Of the paper's 1 claim: 1 looks not reproduced (one seed). Our own 1 check: 1 looks "
        "reproduced (one seed)."
    )
    text, page = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    assert counts in text
    assert counts in latex.render(found, judge(found))
    assert "| So. | our own check | looks reproduced (one seed) |" in text
    assert "It &lt;b&gt;may&lt;/b&gt; be late." in page
    assert "<b>may" not in page
    assert text.index("Possible reasons") > text.index("| So. |")
    said = json.loads((tmp_path / "results.json").read_text())
    assert said["verdicts"]["ours"] == {"looks reproduced (one seed)": 1}
    assert [claim["by"] for claim in said["claims"]] == ["paper", "ours"]
    assert said["discussion"] == ["It <b>may</b> be late."]
