"""The sections of a report in order, from the scale to the commits."""

from __future__ import annotations

from dataclasses import replace

from harness.recipe.ablation import CONTROL
from harness.recipe.claims import PRETEXT, Beats, NotWorse
from harness.recipe.judging import ALIKE, BETTER
from harness.report import provenance, scale
from harness.report.axis_figure import axis_figure
from harness.report.blocks import (
    Block,
    Document,
    Figure,
    Items,
    Notice,
    Paragraph,
    Section,
)
from harness.report.cell_differences import difference_tables
from harness.report.claim_summary import POSSIBLE_REASONS, summary
from harness.report.claims import Judgement, verdict_counts
from harness.report.collect import Results
from harness.report.corruptions import corruption_lines
from harness.report.cost import costs
from harness.report.curves_figure import curves_figures, health_figures
from harness.report.deviations import deviations, notes
from harness.report.logistic_lines import logistic_lines
from harness.report.look_sections import look_sections
from harness.report.measures import COSTS, difference_unit, measure
from harness.report.pictures import picture_sections, tables_of_each
from harness.report.precision_recall_figure import precision_recall_figures
from harness.report.preregistration import preregistration, statement
from harness.report.protocol_lines import protocol_lines
from harness.report.results_table import results_table
from harness.report.rule_text import rule_sentences
from harness.report.table import Column, Row, Table, Text, Tone
from harness.report.table_text import upright
from harness.report.tables import claims_table, further_table, sensitivity_table
from harness.report.trial_lines import trial_lines
from harness.report.trials_figure import trials_figures
from harness.report.untrained import cells_not_above

NOT_COMPARABLE = " Do not compare the numbers with the paper's; this scale tests the claims."

UNRELATED = (
    "The run root has stages with this table's names that do not belong to it; no number here "
    "uses them"
)

DIFFERS: tuple[str, Tone] = ("differs", "unsure")


def compose(results: Results, judgements: list[Judgement]) -> Document:
    """The whole report, ready to be rendered."""
    lines = [*corruption_lines(results), *logistic_lines(results)]
    below = [Items(tuple(lines))] if lines else []
    sections = [
        Section("", tuple(_top(results, judgements))),
        Section("Results" if results.ablation is None else "Table", (*_table(results), *below)),
    ]
    sections += _differences(results)
    parts = tables_of_each(results)
    if (table := further_table(results)) is not None:
        sections.append(Section("Further tasks", (upright(table), *parts)))
    elif parts:
        sections[1] = replace(sections[1], blocks=(*sections[1].blocks, *parts))
    sections += picture_sections(results)
    if judgements:
        sections.append(Section("Claims", tuple(_claims(results, judgements))))
    drawn, missing = figures(results)
    if drawn:
        sections.append(Section("Figures", tuple(drawn)))
    if missing:
        notices = (Notice("Note", each, "unsure") for each in missing)
        sections[0] = replace(sections[0], blocks=(*sections[0].blocks, *notices))
    if healthy := health_figures(results):
        sections.append(Section("Health of the features", tuple(healthy)))
    sections += look_sections(results)
    sections.append(Section("Scale", tuple(_scale(results))))
    sections.append(Section("Protocol", (Items(tuple(scale.protocol_sentences(results))),)))
    found = deviations(results)
    if found and not _is_own(results):
        sections.append(Section("Deviations from the paper's protocol", (Items(tuple(found)),)))
    if said := [*(found if _is_own(results) else ()), *notes(results)]:
        sections.append(Section("Notes", (Items(tuple(said)),)))
    sections.append(Section("Provenance", tuple(_provenance(results))))
    if judgements:
        sections.append(Section("How verdicts are reached", (Items(rule_sentences()),)))
    return Document(results.title, tuple(sections))


def _top(results: Results, judgements: list[Judgement]) -> list[Block]:
    blocks: list[Block] = []
    ablation = results.ablation
    own = _is_own(results)
    if ablation is not None and ablation.confidence is not None:
        how = {
            "read": "from the paper itself",
            "secondary": "from a secondary source",
            "memory": "from memory, not checked against the paper",
        }[ablation.confidence]
        blocks.append(
            Paragraph(
                f"{ablation.paper}. The paper's setting: {ablation.setting}. Source of its "
                f"numbers: {ablation.source} ({how}{_off(ablation.uncertainty)}).",
                "quiet",
            )
        )
    papers = scale.is_papers_scale(results)
    label = scale.named(results)
    blocks.append(
        Notice(
            label,
            scale.one_line(results)
            + "."
            + ("" if papers or own or ablation is None else NOT_COMPARABLE),
            "unsure" if scale.concerns_paper(results) and not papers else "plain",
        )
    )
    if (fixed := preregistration(results)) is not None:
        blocks.append(
            Notice(*statement(fixed), "plain" if fixed.standing == "before" else "unsure")
        )
    if judgements:
        blocks.append(Paragraph(summary(verdict_counts(judgements))))
    if low := cells_not_above(results):
        tone: Tone = "bad" if ablation is None else "unsure"  # a paper's cell may have to fail
        blocks.append(Notice("Not above the untrained network", "; ".join(low) + ".", tone))
    blocks += [Notice("Note", warning, "unsure") for warning in results.warnings]
    if results.unrelated and any(run.stages["pretrain"].state == "absent" for run in results.runs):
        blocks.append(Notice("Note", f"{UNRELATED}; they are listed under Provenance.", "unsure"))
    return blocks


def _off(uncertainty: float) -> str:
    return f"; read from a drawn curve, ±{uncertainty:g}" if uncertainty else ""


def _table(results: Results) -> list[Block]:
    blocks: list[Block] = [results_table(results)]
    ablation = results.ablation
    words = []
    printed = ablation.metric if ablation is not None else None
    if ablation is not None and printed is not None and results.metric != printed:
        also = any(column.metric == results.metric for column in ablation.columns)
        words.append(
            f"The paper prints {measure(printed).label}"
            + (f" and {measure(results.metric).label}" if also else "")
            + f"; this scale judges by {measure(results.metric).label}"
            + (f" ({measure(results.metric).description})" if results.metric in COSTS else "")
            + "."
        )
    elif ablation is not None:
        where = ", as in the paper" if ablation.of_paper else ""
        words.append(f"Judged by {measure(results.metric).label}{where}.")
    claims = ablation.claims if ablation is not None else ()
    if others := dict.fromkeys(
        measure(own).label
        for claim in claims
        if isinstance(claim, Beats | NotWorse)
        and (own := claim.metric) not in (None, PRETEXT, results.metric)
        and own is not None
    ):
        words.append(
            f"Claims about {' and '.join(others)} are judged by that, as their evidence says."
        )
    if results.scale is not None and (printed is not None or (ablation and ablation.claims)):
        unit = difference_unit(results.metric)
        words.append(f"{_margins(results.margin, unit)}.")
        if len(results.seen_seeds) > 1:
            words.append(
                f"Probability of any wrong verdict in this table: at most {results.scale.alpha:g}."
            )
        else:
            words.append(
                "With one seed there is no verdict yet; more seeds may change the picture."
            )
    if ablation is not None and results.cell(CONTROL) is None:
        words.append("This scale has no untrained control.")
    if words:
        blocks.append(Paragraph(" ".join(words), "quiet"))
    if lines := [*protocol_lines(results), *trial_lines(results)]:
        blocks.append(Items(tuple(lines)))
    sensitivity = sensitivity_table(results)
    if sensitivity is not None:
        blocks.append(
            Paragraph(
                "Sensitivity to the protocol, in %, mean over seeds (not results):",
                "quiet",
            )
        )
        blocks.append(upright(sensitivity))
    return blocks


def _differences(results: Results) -> list[Section]:
    blocks: list[Block] = []
    for caption, table in difference_tables(results):
        blocks += [Paragraph(caption, "quiet"), table]
    return [Section("Differences", tuple(blocks))] if blocks else []


def _margins(margin: float | None, unit: str) -> str:
    if margin is not None:
        return f"Margin: a difference counts above {margin:g} {unit}"
    return (
        f"Margins: {BETTER:g} {unit} for better, {ALIKE:g} for alike, unless a claim names others"
    )


def _claims(results: Results, judgements: list[Judgement]) -> list[Block]:
    blocks: list[Block] = [claims_table(judgements)]
    if results.scale is not None and results.scale.discussion:
        blocks.append(Paragraph(POSSIBLE_REASONS, "quiet"))
        blocks += map(Paragraph, results.scale.discussion)
    return blocks


def figures(results: Results) -> tuple[list[Figure], list[str]]:
    """The drawings of a report's values and curves, and what had to be left out of them."""
    detected, missing = precision_recall_figures(results)
    drawn = [*axis_figure(results), *curves_figures(results), *detected, *trials_figures(results)]
    return drawn, missing


def _scale(results: Results) -> list[Block]:
    traits = scale.traits(results)
    ours = ", ".join(str(seed) for seed in results.seen_seeds)
    said: list[Block] = []
    if changed := scale.changed_here(results):
        said = [Paragraph(_whose_changes(results), "quiet"), Items(tuple(changed))]
    if _is_own(results):
        own = [*((each.what, each.here) for each in traits), ("seeds", ours)]
        settings = tuple(Row((Text(what), Text(here))) for what, here in own)
        return [*said, Table((Column(""), Column("here")), settings)]
    rows = [
        Row((Text(t.what), Text(t.papers), Text(t.here), Text(*DIFFERS if t.differs else ("",))))
        for t in traits
    ]
    seeds = Row((Text("seeds"), Text("one run"), Text(ours), Text("")))
    return [
        *said,
        Paragraph(_beside_what(results), "quiet"),
        Table(tuple(map(Column, ("", "papers", "here", ""))), (*rows, seeds)),
    ]


def _is_own(results: Results) -> bool:
    """Whether it reports an ablation that is of no paper."""
    return results.ablation is not None and not results.ablation.of_paper


def _whose_changes(results: Results) -> str:
    assert results.scale is not None
    changes = f"This scale changes its base recipe, {results.scale.recipe}, as follows"
    if _is_own(results):
        return f"{changes}:"
    return f"{changes}; how pre-training differs from the paper's is under Deviations:"


def _beside_what(results: Results) -> str:
    if not results.reference_pairs:
        return (
            "Our settings beside those of MoCo v1 and v2 on ImageNet. A setting that varies over "
            "the cells is marked only if no cell has the papers' value."
        )
    assert results.ablation is not None
    whose = results.ablation.variant_of or results.ablation.name
    return (
        "Our settings beside those of the same cells at the scale of the printed numbers (our "
        f"recipe ablation_{whose}). A setting is marked if it differs in any cell."
        + (
            " Only cells with a printed number are compared; “here” has the values of all cells."
            if results.ablation.variant_of
            else ""
        )
    )


def _provenance(results: Results) -> list[Block]:
    environments: list[str] = []
    table = provenance.provenance_table(results, environments)
    facts = []
    if results.comparability is not None:
        data = ", ".join(provenance.fingerprints(results)) or "unknown"
        facts.append(
            f"The table's edition: {results.comparability.editions}; data fingerprint: {data}."
        )
    else:
        facts.append("No run has a result yet.")
    newest = max((run.started for run in results.runs), default="")
    if newest:
        facts.append(f"The newest run started at {newest}.")
    spent = ", ".join(cost.words for cost in costs(results.runs))
    facts.append(
        f"Cost of all stages with a result, elapsed time times processes: {spent or 'nothing yet'}."
    )
    certified = map(Paragraph, provenance.certificates(results))
    blocks: list[Block] = [Paragraph(" ".join(facts)), *certified, table]
    if results.unrelated:
        blocks.append(Paragraph(f"{UNRELATED}:"))
        blocks.append(Items(results.unrelated))
    if environments:
        blocks.append(Items(tuple(f"E{n}: {text}" for n, text in enumerate(environments, 1))))
    return blocks
