r"""A report's table and claims as LaTeX, in the shape of the paper's table.

It needs \usepackage{booktabs}. Every string is escaped; a sign that LaTeX does not set by default
becomes "?".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.report.claim_summary import summary
from harness.report.claims import Judgement, verdict_counts
from harness.report.collect import Results
from harness.report.latex_layout import Entry, Layout, paper_layout
from harness.report.protocol_lines import protocol_lines
from harness.report.scale import concerns_paper, named, one_line
from harness.report.table import Table
from harness.report.table_text import heading, text
from harness.report.tables import claims_table, further_table
from harness.report.trial_lines import trial_lines

HEAD = """\
% Made by moco-harness from the run records of {name}; needs \\usepackage{{booktabs}}.
"""

CLAIM_WIDTHS = (0.5, 0.15, 0.25)
"""Of the claim, its source and its verdict; there is no space for the evidence."""

SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "[": "{[}",  # after a row's end, "[" would start an argument, as * would
    "]": "{]}",
    "*": "{*}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    "`": r"\textasciigrave{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≈": r"$\approx$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "τ": r"$\tau$",
}


def render(results: Results, judgements: Sequence[Judgement]) -> str:
    """The table, followed by the claims with their verdicts if there are any."""
    parts = [HEAD.format(name=results.name), _table(results)]
    if (further := further_table(results)) is not None:
        parts.append(_further(results, further))
    if judgements:
        parts.append(_claims(results, judgements))
    return "\n".join(parts)


def _table(results: Results) -> str:
    layout = paper_layout(results)
    body = [
        r"\toprule",
        *_groups(layout),
        _row(layout.head),
        r"\midrule",
        *(r"\midrule" if row is None else _row(row) for row in layout.rows),
        r"\bottomrule",
    ]
    columns = "l" * layout.left + "r" * (len(layout.head) - layout.left)
    lines = [*protocol_lines(results), *trial_lines(results)]
    said_below = [*layout.notes, *(("", line) for line in lines)]
    notes = [(f"{_raised(mark)} " if mark else "") + escape(said) for mark, said in said_below]
    if notes:
        notes = ["", r"\smallskip", r"\raggedright\footnotesize " + "; ".join(notes) + "."]
    return _float(_caption(results), results.name, columns, body, notes)


def _caption(results: Results) -> str:
    parts = [results.title]
    if results.ablation is not None and results.ablation.of_paper:
        parts.append(f"Paper: {results.ablation.paper}; {results.ablation.setting}")
    whose = named(results)
    ours = f"Ours ({whose[0].lower()}{whose[1:]})" if concerns_paper(results) else "Ours"
    parts.append(f"{ours}: {one_line(results)}; mean ± sample deviation over seeds")
    return ". ".join(part.rstrip(".") for part in parts) + "."


def _further(results: Results, table: Table) -> str:
    body = [
        r"\toprule",
        _row([Entry(" ".join(heading(column).split())) for column in table.columns]),
        r"\midrule",
        *(_row([Entry(text(cell).text) for cell in row.cells]) for row in table.rows),
        r"\bottomrule",
    ]
    columns = "l" + "r" * (len(table.columns) - 1)
    caption = f"Further tasks of: {results.title}."
    return _float(caption, f"{results.name}-tasks", columns, body, [])


def _claims(results: Results, judgements: Sequence[Judgement]) -> str:
    table = claims_table(list(judgements))
    shown = len(CLAIM_WIDTHS)
    body = [
        r"\toprule",
        _row([Entry(column.label) for column in table.columns[:shown]]),
        r"\midrule",
        *(_row([Entry(text(cell).text) for cell in row.cells[:shown]]) for row in table.rows),
        r"\bottomrule",
    ]
    columns = "".join(rf"p{{{width}\linewidth}}" for width in CLAIM_WIDTHS)
    caption = f"Claims: {results.title}. {summary(verdict_counts(list(judgements)))}"
    return _float(caption, f"{results.name}-claims", columns, body, [])


def _float(caption: str, name: str, columns: str, body: Sequence[str], notes: Sequence[str]) -> str:
    label = re.sub(r"[^A-Za-z0-9.:-]", "-", name)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        *body,
        r"\end{tabular}",
        *notes,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _groups(layout: Layout) -> list[str]:
    """The line above the column heads, with a rule under each named group."""
    if not any(name for name, _ in layout.groups):
        return []
    cells, rules, first = [], [], 1
    for name, width in layout.groups:
        if name:
            cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(name)}}}")
            rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        else:
            cells += [""] * width
        first += width
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _row(entries: Sequence[Entry]) -> str:
    cells = (escape(each.text) + (_raised(each.mark) if each.mark else "") for each in entries)
    return " & ".join(cells) + r" \\"


def _raised(mark: str) -> str:
    return f"$^{{{mark}}}$"


def escape(plain: str) -> str:
    """Plain text with all LaTeX characters escaped, on one line."""
    words = " ".join(plain.split())
    dashes = re.split("(-)(?=-)", words)  # of two in a row, the first is set apart
    return "".join("-{}" if n % 2 else _signs(part) for n, part in enumerate(dashes))


def _signs(text: str) -> str:
    return "".join(SIGNS.get(sign, sign if _known(sign) else "?") for sign in text)


def _known(sign: str) -> bool:
    """ASCII, or an accented Latin letter."""
    return " " <= sign <= "~" or "À" <= sign <= "ž"
