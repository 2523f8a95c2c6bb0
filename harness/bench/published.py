"""Measurements under reports/bench: one JSON record per recipe and device, and one page."""

from __future__ import annotations

import itertools
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.bench import scaling
from harness.bench.result import (
    Result,
    evaluation_rows,
    part_rows,
    rows,
    sent,
    sharing_rows,
    stall,
    task_rows,
    tasks_measured,
    training_rows,
)
from harness.bench.targets import targets
from harness.errors import StoreError
from harness.recipe.schema import Recipe
from harness.redact import without_places
from harness.replace import refuse_others, refuse_others_in
from harness.store import atomic, provenance

PAGE = "README.md"
HEADING = "# Speed, measured by `moco-harness bench`"


def publish(folder: Path, *records: Mapping[str, Any]) -> Path:
    """Put the records into `folder`, replacing older ones of the same recipe and device, and write
    the page of all records there; returns the page's path. Host names and the folders of absolute
    paths are removed.

    Raises:
        RecipeError: the folder has another page, or another file in the place of a record.
        StoreError: the folder cannot be written, or holds a file that is no record.
    """
    refuse_other_pages(folder)
    for record in records:
        device = re.sub(r"[^a-z0-9]+", "-", str(record["device"]).lower()).strip("-")
        several = f"-{record['processes']}-processes" if record["processes"] > 1 else ""
        name = f"{record['recipe']}-{device}{several}.json"
        refuse_others(folder / name, "a record of bench", _is_record)
        atomic.write_json(folder / name, without_places(dict(record)))
    page = folder / PAGE
    sections = [_read(path) for path in sorted(folder.glob("*.json"))]
    text = "\n".join(_page(sections))
    atomic.write(page, lambda file: file.write(text.encode()))
    return page


def refuse_other_pages(folder: Path) -> None:
    """Make the folder if it is missing, and check that the page can be written into it.

    Raises:
        RecipeError: there is another page.
        StoreError: the folder cannot be written, or its page not read.
    """
    refuse_others_in(folder, [PAGE], PAGE, lambda text: text.startswith(HEADING.encode()))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise atomic.write_error(error, folder) from error


def _is_record(content: bytes) -> bool:
    """Whether a file's content is a record of `bench`, of any version."""
    return {"recipe", "device", "facts"} <= atomic.json_object(content).keys()


def _read(path: Path) -> list[str]:
    """The page's section of a record."""
    record = atomic.read_json(path)
    try:
        return _section(Result.of(record), record)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise StoreError(
            f"{path}: not a record of this version's bench ({why}); move it away"
        ) from error


def _page(sections: Sequence[Sequence[str]]) -> list[str]:
    said = [
        HEADING,
        "",
        "Written by `nox -s bench`. Ratios are medians from one process in which the compared",
        "parts take turns; milliseconds hold for the named machine. The records beside this page",
        "have the recipe, versions and the range of each time.",
    ]
    return [*said, *itertools.chain.from_iterable(sections), ""]


def _section(result: Result, record: Mapping[str, Any]) -> list[str]:
    facts = result.facts
    machine, code, packages = facts["machine"], facts["code"], facts["packages"]
    where = result.device if result.device != "cpu" else machine["cpu"]
    if result.processes > 1:
        where += f", {result.processes} processes"
    commit = f"{(code['commit'] or 'unknown')[:12]} {provenance.changes(code)}".rstrip()
    changed = " ".join(f"`{each}`" for each in record.get("set", ()))
    recipe = Recipe.model_validate_json(json.dumps(facts["recipe"]))
    return [
        "",
        f"## {result.recipe} on {where}",
        "",
        f"{facts['measured'][:10]}, {machine['cores']} cores, {facts['threads']} threads, "
        f"torch {packages['torch']}, torchvision {packages['torchvision']}, edition "
        f"{facts['edition']}, commit {commit}. {_of_pretraining(result)}"
        + (f" Changed for this machine: {changed}." if changed else ""),
        "",
        *_table(("target", "wanted", "found", ""), targets(recipe, result)),
        *_table(
            ("training loop", "ms", "images/s", "relative to one process"), sharing_rows(result)
        ),
        *_table(("training step", "ms", "images/s", "relative to the floor"), rows(result)),
        *_table(
            ("step of a task", "ms", "images/s", "relative to its floor"), training_rows(result)
        ),
        *_table(("part", "ms", "% of the floor"), part_rows(result)),
        *_table(("evaluation", "ms", "ratio"), evaluation_rows(result)),
        *_table((tasks_measured(result), "s", "of the extraction"), task_rows(result)),
        *([f"{stall(result).capitalize()}."] if result.whole else []),
        f"Peak memory: {result.peak_bytes / 2**30:.2f} GiB.",
        *_scaling_lines(recipe, result),
    ]


def _of_pretraining(result: Result) -> str:
    """What a step of pre-training is made of; nothing where only tasks were measured."""
    facts = result.facts
    if not result.whole:
        return "Tasks only."
    return f"Batch {result.batch}, {facts['size']} px, {result.precision}, data: {facts['data']}."


def _scaling_lines(recipe: Recipe, result: Result) -> list[str]:
    """Several processes: the data moved between them. One process: an estimate for more GPUs."""
    if not result.whole:
        return []
    if result.processes > 1:
        return ["", *(f"- {sentence}" for sentence in sent(result))]
    return [
        "",
        "Estimate for more GPUs, from these parts:",
        "",
        *_table(scaling.HEADINGS, scaling.table(recipe, result)),
        *(f"- {sentence}" for sentence in scaling.scaling_text(recipe, result)),
    ]


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table and an empty line; [] if it has no rows."""
    if not lines:
        return []
    cells = [headings, ["---", *["---:"] * (len(headings) - 1)], *lines]
    return [*("| " + " | ".join(row) + " |" for row in cells), ""]
