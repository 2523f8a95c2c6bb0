from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import RecipeError
from harness.recipe.load import load, load_ablation
from harness.recipe.photos import PHOTOS

from .conftest import Write

NAMES = ", ".join(["embedded, cifar10, cifar100, stl10, imagefolder, pictures", *PHOTOS])

RECIPE = """\
name: x
data:
  name: embedded
  size: 32
augment: {}
model:
  backbone: miniature
  bn_group: 32
contrast:
  kind: moco
  queue: 4096
  momentum: 0.99
  temperature: 0.1
optim:
  epochs: 10
  batch: 256
  lr: 0.06
  schedule:
    kind: cosine
"""

TABLE = """\
name: table
title: t
paper: p
setting: s
source: s
confidence: read
metric: knn/top1
axis: m
cells:
  - {id: a, label: A, set: {contrast.momentum: 0.5}, printed: 55.2}
  - {id: b, label: B, set: {contrast.momentum: 0}, printed: fail}
claims:
  - {kind: beats, id: ab, cell: a, over: b, says: a is better}
"""


def complaint(write: Write, text: str, old: str, new: str) -> str:
    assert old in text
    path = write("x.yaml", text.replace(old, new, 1))
    with pytest.raises(RecipeError) as caught:
        load_ablation(path) if text is TABLE else load(path)
    return str(caught.value)


def tells(line: str, where: str, facts: Sequence[str]) -> bool:
    """Whether a message starts with file, line and field, and has each fact as whole words."""
    place, colon, message = line.partition(f"{where}: ")
    return (place, bool(colon)) == ("", True) and all(
        re.search(rf"(?<![\w.]){re.escape(fact)}(?!\w)", message) for fact in facts
    )


@pytest.mark.parametrize(
    ("old", "new", "where", "facts"),
    [
        (
            "  schedule:\n    kind: cosine\n",
            "",
            "x.yaml:14: optim.schedule",
            ["section", "missing", "constant, step, cosine, decay"],
        ),
        (
            "lr: 0.06",
            "lr: 0.06\n  nesterov: true",
            "x.yaml:18: optim.nesterov",
            ["unknown", "kind, epochs, steps, batch, lr, schedule, sgd_momentum, weight_decay"],
        ),
        ("lr: 0.06", "lr: 0.06\n  lrr: 1", "x.yaml:18: optim.lrr", ["unknown", "lr"]),
        (
            "lr: 0.06",
            "lr: 0.06\n  momentum: 1",
            "x.yaml:18: optim.momentum",
            ["unknown", "sgd_momentum", "contrast.momentum"],
        ),
        (
            "lr: 0.06",
            "lr: 0.06\n  queue: 1",
            "x.yaml:18: optim.queue",
            ["unknown", "contrast.queue"],
        ),
        ("name: x", "name: x\noptim.lr: 1", "x.yaml:2: optim.lr", ["unknown", "--set"]),
        ("name: x", 'name: x\n"a\\nb": 1', "x.yaml:2: 'a\\nb'", ["unknown", "name, seed"]),
        ("name: x", "name: x\nseeds: [1]", "x.yaml:2: seeds", ["unknown", "`ablation:`"]),
        ("name: x", "name: x\nprecison: fp32", "x.yaml:2: precison", ["unknown", "precision"]),
        ("  lr: 0.06\n", "", "x.yaml:14: optim.lr", ["missing", "0.03"]),
        ("augment: {}\n", "", "x.yaml:1: augment", ["section", "missing"]),
        ("  name: embedded\n", "", "x.yaml:2: data.name", ["missing", "embedded, cifar10"]),
        ("lr: 0.06", "lr: fast", "x.yaml:17: optim.lr", ["'fast'"]),
        ("lr: 0.06", "lr: '0.06'", "x.yaml:17: optim.lr", ["'0.06'", "quotes"]),
        ("lr: 0.06", "lr:", "x.yaml:17: optim.lr", ["null"]),
        ("lr: 0.06", "lr: -1", "x.yaml:17: optim.lr", ["-1", "0"]),
        ("momentum: 0.99", "momentum: 1", "x.yaml:12: contrast.momentum", ["1"]),
        ("temperature: 0.1", "temperature: 0", "x.yaml:13: contrast.temperature", ["0"]),
        ("size: 32", "size: 9999", "x.yaml:4: data.size", ["9999", "1024"]),
        ("epochs: 10", "epochs: 1e1", "x.yaml:15: optim.epochs", ["whole number", "10.0", "10"]),
        ("epochs: 10", "epochs: true", "x.yaml:15: optim.epochs", ["whole number", "true"]),
        (
            "queue: 4096",
            "queue: 4096\n  shuffle: yes",
            "x.yaml:12: contrast.shuffle",
            ["'yes'", "true"],
        ),
        (
            "queue: 4096",
            "queue: 4096\n  shuffle: False",
            "x.yaml:12: contrast.shuffle",
            ["'False'", "false"],
        ),
        (
            "name: embedded",
            "name: cifar",
            "x.yaml:3: data.name",
            [
                "'cifar'",
                "cifar10",
                NAMES,
            ],
        ),
        (
            "name: embedded",
            "name: 3",
            "x.yaml:3: data.name",
            ["3", NAMES],
        ),
        ("name: x", "name: X y", "x.yaml:1: name", [". _ = -"]),
        ("name: x", f"name: {'x' * 81}", "x.yaml:1: name", ["81", "80"]),
        ("name: x", "name: 0.5", "x.yaml:1: name", ["text", "0.5", "quotes"]),
        (
            "kind: cosine",
            "kind: cosin",
            "x.yaml:19: optim.schedule.kind",
            ["'cosin'", "cosine", "constant, step, cosine, decay"],
        ),
        (
            "kind: cosine",
            "kind: 3",
            "x.yaml:19: optim.schedule.kind",
            ["'3'", "constant, step, cosine, decay"],
        ),
        (
            "kind: cosine",
            "first: 1",
            "x.yaml:18: optim.schedule.kind",
            ["missing", "constant, step, cosine"],
        ),
        ("kind: cosine", "kind: step", "x.yaml:18: optim.schedule.drops", ["missing"]),
        (
            "kind: cosine",
            "kind: step\n    drops: [1, x]",
            "x.yaml:20: optim.schedule.drops.1",
            ["whole number", "'x'"],
        ),
        (
            "kind: cosine",
            "kind: cosine\n    cosine: 1",
            "x.yaml:20: optim.schedule.cosine",
            ["unknown", "kind, first"],
        ),
        (
            "kind: cosine",
            "kind: cosine\n    first: 2",
            "x.yaml:20: optim.schedule.first",
            ["2", "at most 1"],
        ),
        (
            "schedule:\n    kind: cosine",
            "schedule: fast",
            "x.yaml:18: optim.schedule",
            ["section", "'fast'"],
        ),
        ("augment: {}", "augment: 3", "x.yaml:5: augment", ["section", "3"]),
        ("augment: {}", "augment:", "x.yaml:5: augment", ["section", "null"]),
        ("augment: {}", "augment: {crop_scale: [0.1]}", "x.yaml:5: augment.crop_scale", ["1", "2"]),
        (
            "augment: {}",
            "augment: {crop_scale: [0.1, 0.2, 0.3]}",
            "x.yaml:5: augment.crop_scale",
            ["3", "2"],
        ),
        (
            "augment: {}",
            "augment: {crop_scale: 0.1}",
            "x.yaml:5: augment.crop_scale",
            ["list", "0.1", "2"],
        ),
        (
            "augment: {}",
            "augment: {crop_scale: 0.2-1}",
            "x.yaml:5: augment.crop_scale",
            ["list", "'0.2-1'", "2"],
        ),
        (
            "augment: {}",
            "augment: {crop_scale: '0.2, 1'}",
            "x.yaml:5: augment.crop_scale",
            ["list", "'0.2, 1'", "[0.2, 1]", "2"],
        ),
        (
            "name: x",
            "name: x\nlinear: {lr: 1 2}",
            "x.yaml:2: linear.lr",
            ["list", "'1 2'", "[1, 2]"],
        ),
        ("name: x", "name: x\nknn: {k: (5)}", "x.yaml:2: knn.k", ["list", "'(5)'", "[5]"]),
        ("name: x", "name: x\nknn: {k: 1.5}", "x.yaml:2: knn.k", ["list", "1.5"]),
        ("name: x", "name: x\nknn: {k: a}", "x.yaml:2: knn.k", ["list", "'a'"]),
        (
            "name: x",
            "name: x\nabout: {notes: a b}",
            "x.yaml:2: about.notes",
            ["list", "'a b'", "['a b']"],
        ),
        (
            "augment: {}",
            "augment:\n  jitter: [0.4, 0.4,\n  0.4, 0.6]",
            "x.yaml:7: augment.jitter.3",
            ["0.6", "0.5"],
        ),
        ("name: x", "name: x\nlinear: {lr: []}", "x.yaml:2: linear.lr", ["0", "1"]),
        ("bn_group: 32", "bn_group: 48", "x.yaml:8: model.bn_group", ["48"]),
        ("queue: 4096", "queue: 64", "x.yaml:11: contrast.queue", ["64"]),
        (
            "name: x",
            "name: x\nabout:\n  targets:\n"
            "    - {metric: knn/top1, value: 3, tolerance: 1, source: ''}",
            "x.yaml:4: about.targets.0.source",
            ["empty"],
        ),
    ],
)
def test_recipe(write: Write, old: str, new: str, where: str, facts: list[str]) -> None:
    found = complaint(write, RECIPE, old, new)
    assert any(tells(line, where, facts) for line in found.splitlines()), found


@pytest.mark.parametrize(
    ("old", "new", "where", "facts"),
    [
        ("printed: fail", "printed: fall", "x.yaml:11: cells.1.printed", ["'fall'", "fail"]),
        ("over: b", "over: z", "x.yaml:13: claims.0.over", ["z", "a, b"]),
        ("over: b, ", "", "x.yaml:13: claims.0.over", ["missing"]),
        (
            "kind: beats",
            "kind: beat",
            "x.yaml:13: claims.0.kind",
            ["'beat'", "beats", "fails, beats, not_worse, ordering, monotone, plateau"],
        ),
        ("label: A", "label: 0.999", "x.yaml:10: cells.0.label", ["text", "0.999", "quotes"]),
        ("set: {contrast.momentum: 0.5}", "set: 3", "x.yaml:10: cells.0.set", ["section"]),
        ("confidence: read", "confidence: sure", "x.yaml:6: confidence", ["read"]),
    ],
)
def test_ablation(write: Write, old: str, new: str, where: str, facts: list[str]) -> None:
    found = complaint(write, TABLE, old, new)
    assert tells(found, where, facts), found
    assert "\n" not in found, "one mistake, one line"


def test_all_mistakes_are_reported_in_the_order_of_their_lines(write: Write) -> None:
    text = RECIPE.replace("0.06", "fast").replace("size: 32", "size: 4").replace("10\n", "-1\n")
    with pytest.raises(RecipeError) as caught:
        load(write("x.yaml", text), ["knn.k=[0]"])
    assert str(caught.value).splitlines() == [
        "x.yaml:4: data.size: must be at least 8, found 4",
        "x.yaml:15: optim.epochs: must be at least 0, found -1",
        "x.yaml:17: optim.lr: needs a number, found 'fast'",
        "--set knn.k=[0]: knn.k.0: must be at least 1, found 0",
    ]


def test_a_list_of_bad_items_is_not_called_short_too(write: Write) -> None:
    found = complaint(write, RECIPE, "name: x", "name: x\nlinear: {lr: [a]}")
    assert found == "x.yaml:2: linear.lr.0: needs a number, found 'a'"


def test_sections_in_a_recipe_for_ablations(write: Write) -> None:
    text = "name: x\nablation: m\nrecipe: b.yaml\nmetric: knn/top1\noptim: {lr: 1}\n"
    with pytest.raises(RecipeError) as caught:
        load(write("x.yaml", text))
    assert str(caught.value).startswith(
        "x.yaml:5: optim: unknown field in an ablation recipe: set optim in the recipe that"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  schedule:", "  shedule:", "x.yaml:18: optim.shedule: unknown field, did you mean "
         "schedule?"),
        ("contrast:", "contrst:", "x.yaml:9: contrst: unknown field, did you mean contrast?"),
        ("data:", "dta:", "x.yaml:2: dta: unknown field, did you mean data?"),
        ("    kind: cosine", "    knd: cosine", "x.yaml:19: optim.schedule.knd: unknown field, "
         "did you mean kind?"),
        ("  temperature:", "  temprature:", "x.yaml:13: contrast.temprature: unknown field, did "
         "you mean temperature?"),
        ("  lr:", "  lrr:", "x.yaml:17: optim.lrr: unknown field, did you mean lr?"),
        ("  kind: moco", "  kind: moc", "x.yaml:10: contrast.kind: needs one of end_to_end, "
         "memory_bank, moco, supervised, found 'moc', did you mean moco?"),
    ],
)  # fmt: skip
def test_a_misspelt_name_is_one_mistake(write: Write, old: str, new: str, message: str) -> None:
    assert complaint(write, RECIPE, old, new) == message


def test_a_misspelt_name_in_a_table_is_one_mistake(write: Write) -> None:
    found = complaint(write, TABLE, "over: b", "ower: b")
    assert found == "x.yaml:13: claims.0.ower: unknown field, did you mean over?"


def test_what_is_missing_besides_the_misspelt_is_told(write: Write) -> None:
    text = RECIPE.replace("  lr: 0.06\n", "")
    found = complaint(write, text, "  schedule:", "  shedule:")
    assert [line.split(": ")[1] for line in found.splitlines()] == ["optim.lr", "optim.shedule"]


def test_no_file_outside_is_named(write: Write, tmp_path: Path) -> None:
    assert str(tmp_path) not in complaint(write, RECIPE, "lr: 0.06", "lr: fast")
