"""The tables of a report: ours beside the paper's, the claims, and the sensitivities."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from harness.recipe.ablation import CONTROL, Ablation, Column, Metric, Number
from harness.report.blocks import Row, Table, Text, Tone
from harness.report.claims import Judgement
from harness.report.collect import CellResult, Results, Value
from harness.report.runs import COSTS, WORDS
from harness.report.setting import NAMES, UNITS, is_papers_scale, is_run, settings
from harness.report.statistics import Summary, summarise
from harness.report.tally import WHOSE
from harness.spec.registry import task_of

NOTHING = "–"
NOT_HERE = "not in this scale"
DIGITS = 16
"""Of a file's digest that a table shows; CSV and JSON have all."""
PRINTED_ONLY = "printed only"
"""Another method's row."""

TONES: dict[str, Tone] = {
    "reproduced": "good",
    "passed": "good",
    "not reproduced": "bad",
    "refuted": "bad",
    "looks reproduced (one seed)": "unsure",
    "looks not reproduced (one seed)": "unsure",
    "short": "bad",
    "undecided": "unsure",
    "incomplete": "unsure",
    "not testable at this scale": "quiet",
}


def main_table(results: Results) -> Table:
    """The paper's table with our column(s) beside its own; the control below. At the scale of the
    printed numbers ours stand against them as well."""
    metrics = measured(results)
    against = results.ablation.metric if results.ablation and is_papers_scale(results) else None
    head = [results.ablation.axis if results.ablation else "recipe"]
    if results.ablation is not None:
        head.append(f"paper\n{NAMES[results.ablation.metric]}, {UNITS[results.ablation.metric]}")
        head += [_heading(column) for column in results.ablation.columns]
    contrasted = results.cell(CONTROL) is not None
    for metric in metrics:
        head.append(f"ours\n{NAMES[metric]}, {UNITS[metric]}")
        if metric == against:
            head.append(f"to the paper,\n{UNITS[metric].replace('%', 'points')}")
        if contrasted:
            head.append("to untrained,\npoints")
    leaks = results.ablation is not None and any(c.kind == "leak" for c in results.ablation.claims)
    if leaks:
        head.append("ours\npretext accuracy, %")
    rows = []
    for cell in results.cells:
        texts = [Text(label(results, cell))]
        if results.ablation is not None:
            texts.append(Text(printed(results.ablation, cell)))
            texts += [Text(number(c.values.get(cell.id))) for c in results.ablation.columns]
        for metric in metrics:
            texts.append(cell_text(results, cell, metric))
            if metric == against:
                texts.append(Text(_to_the_paper(results, cell, metric)))
            if contrasted:
                texts.append(Text(difference_text(results.difference(cell, metric))))
        if leaks:
            texts.append(_pretext_text(results, cell))
        anchor = f"cell-{cell.id}"
        rows.append(Row(tuple(texts), anchor, emphasis=cell.is_control))
    return Table(tuple(head), tuple(rows), frozenset(range(1, len(head))), cards=True)


def measured(results: Results) -> list[Metric]:
    """The table's metric first, then each other one that any run has; costs where they are asked
    for."""
    columns = results.ablation.columns if results.ablation is not None else ()
    accuracies = () if results.metric in COSTS else task_of()
    others = [
        metric
        for metric in (*accuracies, *(column.metric for column in columns if column.metric))
        if metric != results.metric
        and any(run.outcome(metric).value is not None for run in results.runs)
    ]
    return [results.metric, *others]


def label(results: Results, cell: CellResult) -> str:
    """The row's label, with what this scale changes in it beside the paper's, and the weights that
    were given."""
    here = results.scale.set_cells.get(cell.id) if results.scale is not None else None
    lines = [f"here: {settings(here)}"] if here and cell.runs else []
    return "\n".join([cell.label, *lines, *given_weights(cell)])


def given_weights(cell: CellResult) -> list[str]:
    """A line for each file, or run, of weights that the cell's runs began with, with its digest."""
    lines = []
    for run in cell.runs:
        given = run.given
        digests = [f"{k} {given[k][:DIGITS]}" for k in ("sha256", "md5") if k in given]
        if given:
            what = "continues" if run.recipe.continue_from is not None else "weights:"
            lines.append(", ".join([f"{what} {given.get('file') or given['run']}", *digests]))
    return list(dict.fromkeys(lines))


def _to_the_paper(results: Results, cell: CellResult, metric: Metric) -> str:
    """Our mean over the printed number; a dash where one is not there or was measured otherwise."""
    found = results.summary(cell, metric)
    if found is None or not isinstance(cell.printed, float) or results.otherwise(cell, metric):
        return NOTHING
    return f"{found.mean - cell.printed:+.2f}"


def _heading(column: Column) -> str:
    units = f", {column.units}" if column.units else ""
    to_come = f"\n(ours to come: {column.awaits})" if column.awaits else ""
    return f"paper\n{column.label}{units}{to_come}"


def printed(ablation: Ablation, cell: CellResult) -> str:
    """The paper's number, with the deviation of its runs where they are known."""
    row = ablation.cell(cell.id)
    about = "≈ " if ablation.uncertainty and cell.printed is not None else ""
    text = about + number(cell.printed)
    if row is not None and row.printed_runs:
        found = summarise(row.printed_runs)
        text += f" ± {found.sd:.2f}\n(n = {found.n})" if found.sd is not None else ""
    return text


def number(found: Number) -> str:
    """As papers print it: one decimal, "fail", or a dash."""
    if found is None:
        return NOTHING
    return found if isinstance(found, str) else f"{found:.1f}"


def cell_text(results: Results, cell: CellResult, metric: Metric) -> Text:
    """What our runs of a cell say: mean ± deviation, seeds, and every seed without a value."""
    if not cell.runs:
        return Text(NOT_HERE if is_run(results.ablation, cell.id) else PRINTED_ONLY, "quiet")
    if results.otherwise(cell, metric):
        said = _seeds_text(results, cell, metric)
        return replace(said, text=f"{said.text}\nmeasured otherwise", tone="unsure")
    return _seeds_text(results, cell, metric)


def _seeds_text(results: Results, cell: CellResult, metric: Metric) -> Text:
    values = results.values(cell, metric)
    found = results.summary(cell, metric)
    target = cell.runs[0].anchor
    others = Counter(_word(value) for value in values if value.standing != "finished")
    if found is None:
        tone: Tone = "bad" if set(others) == {"diverged"} else "unsure"
        if set(others) == {"no probe"}:
            return Text(NOTHING, "quiet", target)
        if len(others) == 1:
            ((word, n),) = others.items()
            return Text(word if len(values) == 1 else f"{word} ({n} seeds)", tone, target)
        return Text("\n".join(_count(word, n) for word, n in sorted(others.items())), tone, target)
    text = _mean(found)
    if found.n == len(values):
        return Text(f"{text} ({'1 seed' if found.n == 1 else f'n = {found.n}'})", target=target)
    lines = [f"{text} ({found.n} of {len(values)} seeds)"]
    lines += [_count(word, n) for word, n in sorted(others.items())]
    return Text("\n".join(lines), "unsure", target)


def _pretext_text(results: Results, cell: CellResult) -> Text:
    """Accuracy of the pretext task at the end of training, over the seeds that stand in the table:
    what a leak raises (v1 Fig. A.1)."""
    finished = [v.seed for v in results.values(cell, "knn/top1") if v.standing == "finished"]
    found = [
        value
        for run in cell.runs
        if run.seed in finished
        and (value := run.stages["pretrain"].values.get("pretext/top1")) is not None
    ]
    return Text(_mean(summarise(found)), target=cell.runs[0].anchor) if found else Text(NOTHING)


def _mean(found: Summary) -> str:
    return f"{found.mean:.2f}" if found.sd is None else f"{found.mean:.2f} ± {found.sd:.2f}"


def _word(value: Value) -> str:
    if value.standing != "stale":
        return WORDS.get(value.standing, value.standing)
    number = NOTHING if value.value is None else f"{value.value:.2f}"
    return f"stale: {number}, {value.detail}"


def _count(word: str, n: int) -> str:
    return word if n == 1 and word.startswith("stale") else f"{n} {word}"


def difference_text(found: Summary | None) -> str:
    """A difference in points with its interval, e.g. "+12.30" and "(+10.10 to +14.50)"."""
    if found is None:
        return NOTHING
    if found.low is None or found.high is None:
        return f"{found.mean:+.2f}"
    return f"{found.mean:+.2f}\n({found.low:+.2f} to {found.high:+.2f})"


def claims_table(judgements: list[Judgement]) -> Table:
    """Each claim with whose it is, its verdict and the evidence."""
    rows = [
        Row(
            (
                Text(each.claim.says),
                Text(WHOSE[each.claim.by]),
                Text(each.words, TONES[each.verdict]),
                Text(each.evidence),
            ),
            f"claim-{each.claim.id}",
        )
        for each in judgements
    ]
    return Table(("claim", "whose", "verdict", "evidence"), tuple(rows), cards=True)


def sensitivity_table(results: Results) -> Table | None:
    """Values at the other k and the other rates, mean over seeds; None if none was measured.

    They show how far the result depends on the protocol; none of them is a result.
    """
    names: dict[str, None] = {}
    for run in results.runs:
        for kind in task_of().values():
            if kind in run.stages:
                names.update({name: None for name in run.stages[kind].values if "@" in name})
    if not names:
        return None
    columns = sorted(names, key=_natural)
    rows = []
    for cell in results.cells:
        texts = [Text(cell.label)]
        for name in columns:
            metric = next((m for m in task_of() if name.startswith(m)), results.metric)
            ok = [v.seed for v in results.values(cell, metric) if v.standing == "finished"]
            found = [
                run.stages[task_of()[metric]].values[name]
                for run in cell.runs
                if run.seed in ok and name in run.stages[task_of()[metric]].values
            ]
            mean = f"{sum(found) / len(found):.2f}" if found else NOTHING
            partly = 0 < len(found) < len(ok)  # in the others that classifier diverged
            texts.append(Text(f"{mean} ({len(found)} of {len(ok)} seeds)" if partly else mean))
        if any(text.text != NOTHING for text in texts[1:]):
            rows.append(Row(tuple(texts), emphasis=cell.is_control))
    head = ("cell", *columns)
    return Table(head, tuple(rows), frozenset(range(1, len(head))), cards=True)


def _natural(name: str) -> tuple[str, float, str]:
    """Sorts knn/top1@k20 before knn/top1@k100."""
    metric, _, variant = name.partition("@")
    digits = variant.lstrip("abcdefghijklmnopqrstuvwxyz=_")
    try:
        return metric, float(digits), variant
    except ValueError:
        return metric, 0.0, variant
