"""A report's numbers as CSV: one line for each cell and metric, and one for each run and metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from harness.output import inert
from harness.recipe.ablation import Metric
from harness.report.collect import Results
from harness.report.cost import costs
from harness.report.evaluation_protocol import protocol_text
from harness.report.measures import measure
from harness.report.protocol_lines import metric_words, of_metric
from harness.report.results_table import measured, results_table
from harness.report.runs import Run
from harness.report.table import Printed
from harness.report.tables import all_measured, further_columns

FORMULA = tuple("=+-@＝＋－＠")
"""A spreadsheet would compute a field that starts with one of these; an apostrophe before it makes
it text."""

Value = str | float | int | None

TABLE = (
    "cell", "label", "printed", "metric", "unit", "seeds", "n", "mean", "deviation", "low", "high",
    "to_untrained", "to_untrained_low", "to_untrained_high", "protocol", "weights", "measured",
)  # fmt: skip
RUNS = (
    "cell", "seed", "metric", "state", "value", "detail", "stage", "edition", "commit", "data",
    "device", "hours", "weights", "measured",
)  # fmt: skip


def table(results: Results) -> str:
    """Every cell with every metric, also of further tasks: printed number, our mean with its
    interval, and the difference to the control. An empty field means that there is no such
    number."""
    made = results_table(results)
    printed_columns = (*made.of_kind("printed beside"), *made.of_kind("printed"))
    theirs = {column.metric: column for column in printed_columns}
    rows: list[Sequence[Value]] = []
    for row, cell, measurements in zip(
        made.rows, results.cells, all_measured(results, made), strict=True
    ):
        weights = "; ".join(dict.fromkeys(filter(None, map(_weights, cell.runs))))
        for each in measurements:
            printed = None if each.under else theirs.get(each.metric)
            found, control = each.ours.summary, each.control
            ways = (of_metric(run, each.metric, each.under) for run in cell.runs)
            rows.append(
                (
                    row.key,
                    cell.label,
                    made.at(row, printed, Printed).number if printed else None,
                    _named(each.metric, each.under),
                    measure(each.metric).unit,
                    len(each.ours.seeds),
                    found.n if found else 0,
                    *((found.mean, found.sd, found.low, found.high) if found else [None] * 4),
                    *((control.mean, control.low, control.high) if control else [None] * 3),
                    protocol_text(each.ours.protocol),
                    weights,
                    "; ".join(dict.fromkeys(filter(None, ways))),
                )
            )
    return _csv(TABLE, rows)


def runs(results: Results) -> str:
    """Every run with every metric: its state, value and provenance."""
    rows: list[Sequence[Value]] = []
    for run in results.runs:
        hours = round(sum(cost.hours for cost in costs([run])), 6)
        for metric, under in [
            *((each, "") for each in measured(results)),
            *further_columns(results),
        ]:
            value = results.value(run, metric, under)
            stage = (run.behind(metric, under) or [run.stages["pretrain"]])[0]
            code = stage.attempt.get("code")
            rows.append(
                (
                    run.cell,
                    run.seed,
                    _named(metric, under),
                    value.standing,
                    value.value,
                    value.detail,
                    stage.id,
                    "+".join(stage.editions),
                    str(code.get("commit") or "") if isinstance(code, dict) else "",
                    stage.data_fingerprint,
                    run.device,
                    hours,
                    _weights(run),
                    metric_words(run, metric, under, interval=value.standing == "finished"),
                )
            )
    return _csv(RUNS, rows)


def _named(metric: Metric, under: str) -> str:
    return f"{under}: {metric}" if under else metric


def _weights(run: Run) -> str:
    """File or run, and digests, of given weights, as "w.pth sha256:1a2b..."; "" without any."""
    return " ".join(
        f"{kind}:{each}" if kind in ("sha256", "md5") else each for kind, each in run.given.items()
    )


def _csv(head: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_field(value) for value in row] for row in rows)
    return out.getvalue()


def _field(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, int | float):
        return f"{value:.10g}" if isinstance(value, float) else str(value)
    text = inert(" ".join(value.split()))
    return f"'{text}" if text.startswith(FORMULA) else text
