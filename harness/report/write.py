"""Write a report's files: report.md, .html and .tex, figures, and numbers for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

from harness.replace import refuse_others_in
from harness.report import html, latex, legend, markdown, spreadsheet, svg
from harness.report.blocks import Document, Figure, Gallery
from harness.report.claims import judge
from harness.report.collect import Results
from harness.report.document import compose
from harness.report.results_json import FILE, as_json, figure_numbers
from harness.store import atomic
from harness.store.layout import refuse_link

FIGURES = "figures.json"
"""The numbers in the drawings."""

TEXTS = (FILE, "report.md", "report.html", "report.tex", "table.csv", "runs.csv", FIGURES)
"""What a report has beside its drawings and pictures."""


def own_place(runs: Path, name: str) -> Path:
    """The folder in a run root of the report with that name.

    Raises:
        StoreError: it is a link to a place outside.
    """
    out = runs / "reports" / name
    for folder in (out.parent, out):
        refuse_link(folder)
    return out


def write_report(results: Results, out: Path, *, named: bool = False) -> list[Path]:
    """Write the report into the folder `out`; the same results give the same bytes.

    Args:
        named: a user named the folder, which may hold files of their own.

    Returns:
        The files, report.md and report.html first.

    Raises:
        RecipeError: the user's own files would be replaced.
        StoreError: the disk is full, or the folder cannot be written.
    """
    judgements = judge(results)
    document = compose(results, judgements)
    figures = drawn(document)
    files = rendered(document)
    files["report.tex"] = latex.render(results, judgements)
    files["table.csv"] = spreadsheet.table(results)
    files["runs.csv"] = spreadsheet.runs(results)
    if figures:
        files[FIGURES] = figure_numbers(figures)
    # the first on the disk: if that fills up, the folder still says whose files it holds
    files = {FILE: atomic.dump(as_json(results, judgements, figures)), **files}
    if named:
        refuse_others_in(out, files, FILE, _is_report)
    first, *others = write_files(files, out)
    return [*others, first]


def refuse_texts(out: Path, *more: str) -> None:
    """Check that the folder has none of a report's texts, nor `more`, or is a report's.

    Raises:
        RecipeError: a user's own files would be replaced.
        StoreError: the folder cannot be read.
    """
    refuse_others_in(out, (*TEXTS, *more), FILE, _is_report)


def _is_report(content: bytes) -> bool:
    """Whether the content is that of a results.json, of any version."""
    return {"format", "name", "cells", "claims"} <= atomic.json_object(content).keys()


def rendered(document: Document) -> dict[str, str | bytes]:
    """File name -> content of a document as Markdown and as a page, with its drawings and
    pictures."""
    files: dict[str, str | bytes] = {
        "report.md": markdown.render(document),
        "report.html": html.render(document),
    }
    for gallery in (b for s in document.sections for b in s.blocks if isinstance(b, Gallery)):
        files |= {f"{each.name}.png": each.png for each in gallery.pictures}
        if gallery.legend:
            files[f"{gallery.name}-legend.svg"] = legend.drawn(gallery.legend)
    for figure in drawn(document):
        files[f"{figure.name}.svg"] = svg.standalone(figure.svg, figure.alt)
    return files


def drawn(document: Document) -> list[Figure]:
    """The document's figures."""
    return [b for section in document.sections for b in section.blocks if isinstance(b, Figure)]


def write_files(files: Mapping[str, str | bytes], out: Path) -> list[Path]:
    """Write the files into the folder `out`, which is created.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    try:
        for folder in dict.fromkeys((out, *((out / name).parent for name in files))):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise atomic.write_error(error, out) from error
    for name, said in files.items():
        # a message may hold an incomplete character, which must not prevent a report
        data = said.encode(errors="replace") if isinstance(said, str) else said
        atomic.write(out / name, partial(_fill, data))
    return [out / name for name in files]


def _fill(data: bytes, file: BinaryIO) -> None:
    file.write(data)
