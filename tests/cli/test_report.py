"""What the terminal shows of a report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def test_the_terminals_table_has_every_measured_metric_and_its_scale(moco: Any, tiny: Path) -> None:
    Path("scale.yaml").write_text(
        f"ablation: momentum\nrecipe: {tiny}\ncells: [m0.9]\nmetric: knn/top1\nmargin: 1\n"
        "set: {optim.epochs: 1}\n"
    )
    said = moco("run", "scale.yaml")
    assert said.code == 0, said.all
    assert (
        "not the paper's scale: embedded, 128 images, 16 px, miniature, 1 epoch, K 64" in said.out
    )
    heads = said.out[said.out.index("not the paper's scale: ") :].splitlines()[1:3]
    assert re.findall(r"paper, %|ours, %", heads[0]) == ["paper, %", "ours, %", "ours, %"]
    names = re.findall(r"(?:linear probe|kNN) top-1", heads[1])
    assert names == ["linear probe top-1", "kNN top-1", "linear probe top-1"]
    (row,) = [line for line in said.out.splitlines() if line.startswith("0.9 ")]
    assert row.count("(1 seed)") == 2
    assert said.out.splitlines()[-1] == "report: runs/reports/scale/report.html"
