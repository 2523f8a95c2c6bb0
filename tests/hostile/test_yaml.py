"""Recipes, ablation recipes, lists, papers' tables and numbers, sites, baselines: refused with
words, or kept whole.

An accepted file says in the harness what it says to a plain reader (`meaning`), and what `recipes
show` prints of it is read back as the same recipe.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.check.baseline import load_baseline, write_baseline
from harness.errors import HarnessError
from harness.recipe.ablation import Scale
from harness.recipe.expand import expand
from harness.recipe.load import load, load_ablation, load_list
from harness.recipe.printed import blocks
from harness.recipe.schema import Recipe
from harness.recipe.validate import check
from harness.recipe.yaml_source import read
from harness.recipe.yaml_text import render
from harness.site import site_file
from hostile.cases import cases
from hostile.meaning import composed, lost
from hostile.mutate import json_bytes, yaml_bytes
from hostile.mutate import text as mutated

ROOT = Path(harness.__file__).parent.parent
RECIPES = {path.name: path.read_text() for path in sorted((ROOT / "recipes").glob("*.yaml"))}
SCALES = sorted(name for name, text in RECIPES.items() if re.search("^ablation:", text, re.M))
SINGLE = sorted(set(RECIPES) - set(SCALES))
TABLES = {path.name: path.read_text() for path in sorted((ROOT / "ablations").glob("*.yaml"))}
PRINTED = TABLES.pop("printed.yaml")
LISTS = {p.name: p.read_text() for p in sorted((ROOT / "recipes" / "lists").glob("*.yaml"))}
BASELINE = (ROOT / "recipes" / "baselines" / "gate.json").read_text()
SITE = """\
data: ~/data
runs: /scratch/runs
device: cuda
processes: 8
ask_above_hours: 2.5
slurm:
  partition: gpu
  nodes: 2
  gpus_per_node: 8
  mem_gb: 64.5
  hours: {pretrain: 48, report: 0.25}
  modules: [cuda/12.4, gcc]
  setup: ["ulimit -n 65536"]
  stage_data: $SLURM_TMPDIR
  snapshot: refuse_dirty
  extra: {exclusive: true, mail-type: FAIL, nice: 100}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the recipes, lists and tables."""
    root = tmp_path_factory.mktemp("yaml")
    tables = TABLES | {"printed.yaml": PRINTED}
    for folder, files in (("recipes", RECIPES), ("recipes/lists", LISTS), ("ablations", tables)):
        (root / folder).mkdir()
        for name, content in files.items():
            (root / folder / name).write_text(content)
    return root


def check_message(error: HarnessError) -> None:
    """The message is lines for a person: they name a place, and hold no control character."""
    lines = str(error).splitlines()
    assert 0 < len(lines) <= 200
    for line in lines:
        assert line.isprintable(), line
        assert len(line) < 2000
        assert re.match(r"\S+\.(yaml|json)\S*(:\d+)?: |--set ", line), line


def kept(content: bytes, found: Any, *but: str) -> None:
    """Nothing of the file was lost on the way to `found`, the fields `but` aside."""
    node = composed(content.decode("utf-8-sig"))
    node.value = [(key, value) for key, value in node.value if key.value not in but]
    dropped = [
        each for each in lost(node, found) if each.partition(":")[0].rpartition(".")[2] not in but
    ]
    assert not dropped


def value_at(found: Any, field: str) -> Any:
    """What stands under the dotted field; ... if nothing does."""
    for part in field.split("."):
        found = found.get(part, ...) if isinstance(found, dict) else ...
    return found


@cases(370)
@given(data=st.data(), name=st.sampled_from(SINGLE))
def test_recipes(place: Path, data: st.DataObject, name: str) -> None:
    content = data.draw(yaml_bytes(RECIPES[name]))
    file = place / "recipes" / "hostile.yaml"
    file.write_bytes(content)
    try:
        recipe = load(file)
    except HarnessError as error:
        check_message(error)
        return
    assert isinstance(recipe, Recipe)
    kept(content, recipe.model_dump(mode="json"), "extends")
    shown = place / "recipes" / "shown.yaml"
    shown.write_text(render(recipe.model_dump(mode="json")))
    assert load(shown) == recipe


@cases(190)
@given(data=st.data(), name=st.sampled_from(SCALES))
def test_ablation_recipes(place: Path, data: st.DataObject, name: str) -> None:
    content = data.draw(yaml_bytes(RECIPES[name]))
    file = place / "recipes" / "hostile.yaml"
    file.write_bytes(content)
    try:
        scale = load(file)
        made = expand(scale, file) if isinstance(scale, Scale) else None
    except HarnessError as error:
        check_message(error)
        return
    if made is None:
        return
    assert isinstance(scale, Scale)
    kept(content, scale.model_dump(mode="json"))
    shown = place / "recipes" / "shown.yaml"
    shown.write_text(render(scale.model_dump(mode="json")))
    assert load(shown) == scale
    for member in made.members:
        assert re.fullmatch(r"[a-z0-9][a-z0-9._=-]*", member.recipe.name)
        own = {
            field
            for cell in made.ablation.cells
            if cell.id == member.cell
            for field in cell.set or {}
        }
        own |= {*scale.set_cells.get(member.cell, {}), "optim.epochs"}
        replaced = tuple(field.removesuffix("kind") for field in own if field.endswith(".kind"))
        for field, value in scale.set.items():
            alone = not any(f == field or f.startswith(f"{field}.") for f in own)
            if alone and not field.startswith(replaced) and not isinstance(value, dict | list):
                assert value_at(member.recipe.model_dump(mode="json"), field) == value, field


@cases(75)
@given(data=st.data(), name=st.sampled_from(sorted(LISTS)))
def test_lists(place: Path, data: st.DataObject, name: str) -> None:
    content = data.draw(yaml_bytes(LISTS[name]))
    folder = place / "recipes" / "lists"
    file = folder / "hostile.yaml"
    file.write_bytes(content)
    try:
        found, files, baseline = load_list(file)
    except HarnessError as error:
        check_message(error)
        return
    kept(content, found.model_dump(mode="json"))
    assert len(files) == len(found.recipes)
    for each, said in zip(files, found.recipes, strict=True):
        assert each.samefile(folder / said)
    assert (baseline is None) == (found.baseline is None)
    shown = folder / "shown.yaml"
    shown.write_text(render(found.model_dump(mode="json")))
    assert load_list(shown) == (found, files, baseline)


@cases(75)
@given(content=yaml_bytes(BASELINE) | json_bytes(BASELINE.encode()))
def test_baselines(place: Path, content: bytes) -> None:
    file = place / "hostile.json"
    file.write_bytes(content)
    try:
        found = load_baseline(file)
    except HarnessError as error:
        check_message(error)
        return
    kept(content, found.model_dump(mode="json"))
    write_baseline(found, file)
    assert load_baseline(file) == found


@cases(140)
@given(data=st.data(), name=st.sampled_from(sorted(TABLES)))
def test_papers_tables(place: Path, data: st.DataObject, name: str) -> None:
    content = data.draw(yaml_bytes(TABLES[name]))
    file = place / "ablations" / "hostile.yaml"
    file.write_bytes(content)
    try:
        table = load_ablation(file)
    except HarnessError as error:
        check_message(error)
        return
    found = table.model_dump(mode="json")
    kept(content, found, "printed")
    ids = [cell.id for cell in table.cells]
    assert len(set(ids)) == len(ids)


@cases(50)
@given(content=yaml_bytes(PRINTED))
def test_printed_numbers(place: Path, content: bytes) -> None:
    file = place / "ablations" / "printed-hostile.yaml"
    file.write_bytes(content)
    try:
        found = blocks(file)
    except HarnessError as error:
        check_message(error)
        return
    kept(content, {name: block.model_dump(mode="json") for name, block in found.items()})


@cases(150)
@given(content=yaml_bytes(SITE))
def test_sites(place: Path, content: bytes) -> None:
    file = place / "site.yaml"
    file.write_bytes(content)
    try:
        found = check(site_file(), read(file))
    except HarnessError as error:
        check_message(error)
        return
    kept(content, found.model_dump(mode="json"))


@cases(100)
@given(
    data=st.data(), field=st.sampled_from(["optim.lr", "knn.k", "about.title", "linear", "name"])
)
def test_options(place: Path, data: st.DataObject, field: str) -> None:
    value = data.draw(mutated(": 0.03").map(lambda text: text.removeprefix(": ")))
    taken_or_told(place, field, value)


def test_an_option_with_a_tab(place: Path) -> None:
    """libyaml reads it, PyYAML's own parser does not."""
    taken_or_told(place, "about.title", "0\t 0.03")


def taken_or_told(place: Path, field: str, value: str) -> None:
    """`--set field=value` means what it says, or is refused with a message."""
    try:
        recipe = load(place / "recipes" / "miniature_embedded.yaml", [f"{field}={value}"])
    except HarnessError as error:
        check_message(error)
        return
    found, said = value_at(recipe.model_dump(mode="json"), field), value.strip()
    if said[0] in "[{\"'":
        assert not list(lost(composed(value), found))
    elif isinstance(found, str):
        assert found == said, "no character of it means anything else"


@pytest.mark.parametrize(
    "content",
    [
        b"a: " + b"x" * 10_000_000,
        b"a: &a [1]\n" + b"".join(b"b%d: &b%d [*a, *a]\n" % (n, n) for n in range(50)),
        b"a: " + b"[" * 100_000,
        b"a: " + b"{a: " * 100_000,
        b"".join(b"k%d: 1\n" % n for n in range(80_000)),
        b"knn: {k: [" + b"a," * 300_000 + b"]}",
        b"a: '" + b"\\" * 900_000,
        b'a: "' + b"\\u0041" * 150_000 + b'"',
        b"- " * 400_000,
        b"? " * 400_000,
        b"a: |\n" + b" \n" * 400_000,
        b"a: " + b"9" * 900_000,
        b"a: " + b"1:" * 400_000,
        b"#" * 900_000 + b"\nname: x",
        b"---\n" * 250_000,
        b"https://" * 110_000,
        b"a: ?" + b"key=" * 200_000,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_large_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """Each ends, with lines that can be read."""
    file = tmp_path / "hostile.yaml"
    file.write_bytes(content)
    with pytest.raises(HarnessError) as refused:
        load(file)
    check_message(refused.value)
