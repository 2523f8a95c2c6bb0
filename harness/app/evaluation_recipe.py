"""The recipe that evaluates given weights, as YAML with the reason of each value."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from harness.command import Commands, data_option
from harness.errors import RecipeError, StoreError, cannot_be_read
from harness.recipe.identity import digest
from harness.recipe.schema import Recipe
from harness.recipe.section import LONGEST_NAME
from harness.recipe.suggest import printable
from harness.recipe.task import Data, Fitted, TaskSection
from harness.recipe.yaml_source import parse_value
from harness.recipe.yaml_text import render
from harness.site import Site
from harness.spec.declarations import Task, load
from harness.spec.registry import task, tasks
from harness.store import atomic

BATCH = 64
"""Images per step of the pre-training that does not take place: no more than there are, and
a number that the processes divide."""


@dataclass(frozen=True)
class Source:
    """The weights."""

    said: str
    """In words, e.g. "the run tiny-s0.pretrain-1a2b3c4d5e"."""
    name: str
    """Short name with a part of the digest, for the recipe's name."""
    weights: Mapping[str, str]
    """The recipe's model.weights."""
    model: Mapping[str, Any]
    """backbone, width, head and dim."""
    read: str
    """Where these come from."""
    size: int
    size_from: str
    precision: str
    precision_from: str
    origin: str = ""
    """Where a file can be had, as far as it is known."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class On:
    """A data set to evaluate on."""

    data: Mapping[str, Any]
    """The recipe's data.name and, of an image folder, data.folder; with what --set changes."""
    name: str
    """Short name, for the recipe's name and its tasks'."""
    bank: int | None
    """Labelled training images; None: not known before it is opened."""
    note: str = ""
    """What else its name may mean, in a sentence."""


Changed = Callable[[str, On], On]
"""The data set as `--set` changes it, given the recipe's section about it, e.g. tasks.x.data."""


def name_of(
    source: Source,
    on: Sequence[On],
    kinds: Sequence[str],
    size: int | None,
    sets: Sequence[str] = (),
) -> str:
    """The recipe's name: a function of what is asked for.

    Args:
        sets: the settings that change what a protocol is fitted to.
    """
    usual = list(kinds) == list(usual_kinds())
    parts = [source.name, "on", *(each.name for each in on)]
    parts += [] if usual else ["-".join(kinds)]
    parts += [f"{size}px"] if size is not None and size != source.size else []
    parts += [digest(list(sets))] if sets else []
    name = ".".join(parts)
    if len(name) > LONGEST_NAME:
        end = f".{digest(parts)}"
        name = name[: LONGEST_NAME - len(end)].rstrip("-._=") + end
    return name


def slug(text: str, otherwise: str = "weights", longest: int = 40) -> str:
    """The text as a part of a name: lower case, digits and . _ = -; `otherwise` if none is left."""
    plain = re.sub(r"[^a-z0-9._=-]+", "-", text.lower()).strip("-._=")
    return plain[:longest].rstrip("-._=") or otherwise


def usual_kinds() -> tuple[str, ...]:
    """The kinds of tasks that every recipe has unless it leaves them out, e.g. knn and linear."""
    found = []
    for kind, each in tasks().items():
        field = Recipe.model_fields.get(each.section or "")
        if each.parent is not None and field is not None and field.get_default() is not None:
            found.append(kind)
    return tuple(found)


def chosen_kinds(wanted: Sequence[str]) -> tuple[str, ...]:
    """The kinds of tasks, in the registry's order, with those that every run has, as kNN.

    Raises:
        RecipeError: one is no kind of evaluation.
    """
    known = [kind for kind, each in tasks().items() if each.parent is not None and _complete(each)]
    for kind in wanted:
        if kind not in known:
            raise RecipeError(
                f"--tasks {kind}: no kind of evaluation; there are {', '.join(known)}"
            )
    return tuple(kind for kind in known if kind in wanted or not _optional(kind))


def _complete(declared: Task) -> bool:
    """Whether its section has a value for every field, so that it can be used on any data."""
    section: Any = load(declared.config) if declared.config is not None else TaskSection
    fields = section.model_fields.items()
    return not any(field.is_required() for name, field in fields if name != "kind")


def _optional(kind: str) -> bool:
    """Whether a recipe may leave the task out."""
    field = Recipe.model_fields.get(task(kind).section or "")
    return field is None or type(None) in get_args(field.annotation)


def text(
    source: Source,
    on: Sequence[On],
    kinds: Sequence[str],
    *,
    name: str,
    size: int | None,
    changed: Changed = lambda _, each: each,
) -> str:
    """The recipe. The first data set is the run's own, the others are data of further tasks."""
    return "\n".join([*_lines(source, on, kinds, changed, name=name, size=size), ""])


def _lines(
    source: Source,
    on: Sequence[On],
    kinds: Sequence[str],
    changed: Changed,
    *,
    name: str,
    size: int | None,
) -> Iterator[str]:
    first, side = changed("data", on[0]), size or source.size
    side_from = source.size_from if side == source.size else "--size"
    names = ", ".join(each.name for each in on)
    yield f"# {printable(source.said, 300)}, evaluated on {names}."
    yield "# Written by moco-harness evaluate; only classifiers on frozen features are trained."
    yield "# It is a recipe like any other: plan, run, report and check take it."
    yield f"name: {_scalar(name)}"
    yield f"data: {_flow(_sized(first, side))}  # by --on; the size: {side_from}"
    yield "model:"
    yield f"  weights: {_flow(source.weights)}"
    for field, value in source.model.items():
        yield f"  {field}: {value}  # {source.read}"
    if "head" not in source.model:
        yield "  # no head: the file has none of a form that recipes build"
    batch = _batch(first)
    yield f"  bn_group: {batch}  # of no effect: features are read with running statistics"
    yield f"precision: {source.precision}  # {source.precision_from}"
    notes = list(source.notes)
    further: dict[str, tuple[dict[str, Any], str]] = {}
    for kind in kinds:
        section = task(kind).section
        own = section is not None and section in Recipe.model_fields
        if not task(kind).labels:  # it names its images itself
            further[f"{kind}_own"] = ({"kind": kind}, "the task's own defaults, on its own images")
            continue
        for each in (first, *on[1:]):
            place = re.sub(r"[^a-z0-9]+", "_", f"{kind}_{each.name}")[:40]
            if place in further:
                place = f"{place[:31]}_{digest(each.data)[:8]}"
            if each is not first:
                each = changed(f"tasks.{place}.data", each)
            fitted = _fitted(kind, each, side)
            said, why = fitted.fields, fitted.why
            notes += [fitted.note] if fitted.note else []
            if own and each is first:
                yield from _section(str(section), said, why, "")
            else:
                data = {} if each is first else {"data": _sized(each, side)}
                further[place] = ({"kind": kind, **said, **data}, why)
    for kind in usual_kinds():
        if kind not in kinds:
            yield f"{task(kind).section}: null  # not among --tasks"
    if further:
        yield "tasks:"
        for place, (said, why) in further.items():
            yield from _section(place, said, why, "  ")
    yield "# With optim.epochs 0 nothing below is read: neutral values, which the rules ask for."
    yield "augment: {}"
    yield (
        f"contrast: {{kind: moco, queue: {batch}, momentum: 0.0, temperature: 1.0, shuffle: false}}"
    )
    yield f"optim: {{epochs: 0, batch: {batch}, lr: 0.0, schedule: {{kind: constant}}}}"
    yield "about:"
    yield f"  title: {_scalar(f'{source.said}, on {names}')}"
    if source.origin:
        yield f"  source: {_scalar(source.origin)}"
    if notes:
        yield "  notes:"
    for note in dict.fromkeys(notes):
        yield f"    - {_scalar(note)}"


def _batch(on: On) -> int:
    """Images per step of no training: a power of two, so that any usual number of processes divides
    it, and no more than there are."""
    most = BATCH if on.bank is None else max(2, min(BATCH, on.bank))
    return 1 << (most.bit_length() - 1)


def _fitted(kind: str, on: On, size: int) -> Fitted:
    """The protocol of the task for the data."""
    config = task(kind).config
    section: Any = load(config) if config is not None else TaskSection
    return section.fitted(Data(**_sized(on, size)), on.bank)  # type: ignore[no-any-return]


def _section(name: str, said: Mapping[str, Any], why: str, margin: str) -> Iterator[str]:
    """A section of YAML, a line for each field."""
    yield f"{margin}{name}:{'' if said else ' {}'}  # {why}"
    for field, value in said.items():
        yield f"{margin}  {field}: {render(value, flow=True)}"


def _sized(on: On, size: int) -> dict[str, Any]:
    """The data section: with the size that --set gives it, if it does."""
    return {**on.data, "size": on.data.get("size", size)}


def _flow(said: Mapping[str, Any]) -> str:
    """A mapping on one line of YAML."""
    return render(dict(said), flow=True)


def _scalar(said: str) -> str:
    return render([said], flow=True).removeprefix("[").removesuffix("]")


def put(path: Path, text: str, site: Site) -> bool:
    """Write the file, unless it is there; returns whether it was written. One that differs only in
    where the weights were, and are no more, is replaced.

    Raises:
        RecipeError: the file holds something else.
        StoreError: it cannot be read or written.
    """
    content, path = text.encode(), Path(os.path.realpath(path))  # a link stays one
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise atomic.write_error(error, path.parent, "--runs or --to") from error
        atomic.write(path, lambda file: file.write(content))
        return True
    except OSError as error:
        raise StoreError(cannot_be_read(error, path)) from error
    if there == content:
        return False
    if _were_moved(there.decode(errors="replace"), text, site):
        atomic.write(path, lambda file: file.write(content))
        return True
    line = Commands(site.runs, site.file).line("run", path, *data_option(site))
    raise RecipeError(
        f"{path}: holds something else than this evaluation's recipe, and stays: run it as it is "
        f"({line}), write to another file with --to, or move it away"
    )


def _were_moved(before: str, now: str, site: Site) -> bool:
    """Whether the recipes differ only in a file's path, and the file of `before` is gone."""
    place = re.compile(r"""(?<=\{file: )("[^"]*"|'[^']*'|[^,{}"']+)(?=, sha256: )""")
    found = place.search(before)
    if found is None or place.sub("", before, count=1) != place.sub("", now, count=1):
        return False
    file = str(parse_value(found[0], "file").value)
    return not (Path(file).exists() or (site.data / file).exists())
