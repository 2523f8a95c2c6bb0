"""LaTeX and the shapes of tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_regressions.file_regression import FileRegressionFixture

from harness.recipe.ablation import CONTROL
from harness.report import latex
from harness.report.claims import judge
from harness.report.collect import Results
from report.build import ABLATION, Bench, momentum
from report.conftest import Collected, Make


def tex(results: Results) -> str:
    return latex.render(results, judge(results))


def body(text: str) -> list[str]:
    """The lines of the first table, between its rules."""
    return text[text.index(r"\toprule") : text.index(r"\end{tabular}")].splitlines()


def filled(bench: Bench, **values: float) -> Bench:
    for cell, value in {CONTROL: 14.0, **values}.items():
        bench.finish(cell, 0, value)
    return bench


def test_cells_side_by_side_as_in_the_paper(
    runs: Any, gather: Collected, file_regression: FileRegressionFixture
) -> None:
    bench = momentum(runs)
    bench.ablation_changes = {"shape": "across"}
    file_regression.check(tex(gather(bench)), extension=".tex", encoding="utf-8")


@pytest.mark.parametrize("shape", ["down", "across"])
def test_what_the_scale_changes_in_a_cell_is_a_note(
    make: Make, gather: Collected, shape: str
) -> None:
    bench = make(
        ablation_changes={"shape": shape},
        scale_changes={"set_cells": {"m0.9": {"optim.epochs": 3}}},
    )
    text = tex(gather(filled(bench, **{"m0.9": 40.0})))
    assert r"here: optim.epochs = 3" in text.replace(r"\_", "_")


def test_a_row_for_each_cell_and_columns_of_several_parts(make: Make, gather: Collected) -> None:
    cells = [
        {"id": "m0.9", "label": "MoCo v1, 200, 256", "set": {}, "printed": 60.6},
        {"id": "other", "label": "SimCLR, 200, 8192", "set": None, "printed": 66.6},
    ]
    columns = [
        {"label": "AP", "numbers": "ap", "awaits": "detection", "units": "%",
         "values": {"m0.9": 55.9}},
    ]  # fmt: skip
    changes = {"cells": cells, "columns": columns, "claims": [], "axis": "method, epochs, batch"}
    bench = make(ablation_changes=changes, scale_changes={"cells": ["m0.9"]})
    text = tex(gather(filled(bench, **{"m0.9": 40.0})))
    assert body(text) == [
        r"\toprule",
        r" &  &  & \multicolumn{2}{c}{paper} & \multicolumn{1}{c}{ours} \\",
        r"\cmidrule(lr){4-5} \cmidrule(lr){6-6}",
        r"method & epochs & batch & linear probe top-1 (\%) & AP (\%) & kNN top-1 (\%) \\",
        r"\midrule",
        r"MoCo v1 & 200 & 256 & 60.6 & 55.9 & 40.00 \\",
        r"SimCLR & 200 & 8192 & 66.6 & -- & -- \\",
        r"\midrule",
        r"untrained network &  &  & -- & -- & 14.00 \\",
        r"\bottomrule",
    ]
    assert r"\begin{tabular}{lllrrr}" in text
    assert "claim" not in text


def test_a_grid_of_series_over_the_axis(make: Make, gather: Collected) -> None:
    cells = [
        {**ABLATION["cells"][n], "series": series, "x": x}
        for n, (series, x) in enumerate((("fc", 0.07), ("fc", 0.2), ("mlp", 0.07), ("mlp", 0.2)))
    ]
    figure = {"x": "temperature", "reads": "temperature"}
    bench = make(
        (0, 1), ablation_changes={"cells": cells, "figure": figure, "shape": "grid", "claims": []}
    )
    filled(bench, **{"m0.9": 40.0, "m0.99": 44.0})
    assert body(tex(gather(bench))) == [
        r"\toprule",
        r" &  & \multicolumn{2}{c}{temperature} \\",
        r"\cmidrule(lr){3-4}",
        r"momentum m &  & 0.07 & 0.2 \\",
        r"\midrule",
        r"fc & paper, linear probe top-1 (\%) & fail & 55.2 \\",
        r" & ours, kNN top-1 (\%) & not run & 40.00$^{a}$ \\",
        r"\midrule",
        r"mlp & paper, linear probe top-1 (\%) & 57.8 & 59.0 \\",
        r" & ours, kNN top-1 (\%) & 44.00$^{a}$ & not run \\",
        r"\bottomrule",
    ]
    text = tex(gather(bench))
    assert "$^{a}$ 1 of 2 seeds, 1 not run; untrained network: kNN top-1" in text


def test_a_grid_needs_an_axis() -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match="a grid needs a figure"):
        Bench(None, ablation_changes={"shape": "grid"}).ablation  # type: ignore[arg-type] # noqa: B018


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50 % & more_of $x$ #1", r"50 \% \& more\_of \$x\$ \#1"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("a~b^c <d> |e|", r"a\textasciitilde{}b\textasciicircum{}c "
         r"\textless{}d\textgreater{} \textbar{}e\textbar{}"),
        ("[x] *y", "{[}x{]} {*}y"),
        ("41.0 ± 1.0 – τ × 2 ≈ −3", r"41.0 $\pm$ 1.0 -- $\tau$ $\times$ 2 $\approx$ $-$3"),
        ("“Müller” and 图 \ud800\x07", "``Müller'' and ? ??"),
        ("two\nlines\t and  more", "two lines and more"),
        ("a--b --- `c`", r"a-{}-b -{}-{}- \textasciigrave{}c\textasciigrave{}"),
    ],
)  # fmt: skip
def test_every_sign_stands_for_itself(text: str, escaped: str) -> None:
    assert latex.escape(text) == escaped


def commands(text: str) -> Iterator[str]:
    yield from re.findall(r"\\([A-Za-z]+|.)", text)


def test_strings_of_recipes_and_runs_are_no_commands(make: Make, gather: Collected) -> None:
    evil = r"\input{x} % $ & # \\ ~ ^ _ {"
    cells = [{"id": "m0.9", "label": evil, "set": {}, "printed": 1.0}]
    claims = [{"kind": "fails", "id": "zero", "cell": "m0.9", "says": evil}]
    bench = make(
        ablation_changes={"cells": cells, "claims": claims, "axis": evil, "paper": evil},
        scale_changes={"about": {"title": evil}},
    )
    text = tex(gather(filled(bench, **{"m0.9": 40.0})))
    assert set(commands(text)) <= {
        "usepackage", "begin", "end", "centering", "caption", "label", "toprule", "midrule",
        "bottomrule", "cmidrule", "multicolumn", "smallskip", "raggedright", "footnotesize", "pm",
        "linewidth", "textbackslash", "textasciitilde", "textasciicircum",
        "%", "&", "$", "#", "_", "{", "}", "\\",
    }  # fmt: skip
    lines = [line for line in body(text) if line.endswith(r" \\") and "multicolumn" not in line]
    assert len({len(re.findall(r"(?<!\\)&", line)) for line in lines}) == 1
