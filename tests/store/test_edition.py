"""Whose numbers a change of code decides, and whose it does not."""

from __future__ import annotations

import ast
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.spec import registry
from harness.spec.declarations import Optimiser, Task
from harness.store import edition as module
from harness.store.edition import (
    LISTS,
    SOURCES,
    Editions,
    closure,
    edition,
    present,
    subject,
    without_words,
)

TREE = Path(harness.__file__).parent
FILES = [path for package in SOURCES for path in sorted((TREE / package).rglob("*.py"))]
FILES += [TREE / f"{name}.py" for name in LISTS]


PARSED: dict[bytes, Any] = {}
"""What was read of a source file's bytes: to parse all of them takes a second."""
_really_read = module._read.__wrapped__


@cache
def read_source(path: Path) -> Any:
    content = path.read_bytes()
    if content not in PARSED:
        PARSED[content] = _really_read(path)
    return PARSED[content]


def forget() -> None:
    for kept in (module._edition, read_source):
        kept.cache_clear()


def now(kind: str = "pretrain", method: str = "moco") -> str:
    forget()
    return edition(kind, method)


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_read", read_source)
    yield
    forget()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the source that `edition` reads."""
    copy = tmp_path / "harness"
    skip = shutil.ignore_patterns("__pycache__")
    for package in (*SOURCES, "cli"):
        shutil.copytree(TREE / package, copy / package, ignore=skip)
    for name in LISTS:
        shutil.copy(TREE / f"{name}.py", copy)
    monkeypatch.setattr(harness, "__file__", str(copy / "__init__.py"))
    return copy


def test_twelve_digits_wherever_the_source_lies(request: pytest.FixtureRequest) -> None:
    before = now()
    assert len(before) == 12
    assert int(before, 16) >= 0
    request.getfixturevalue("tree")
    assert now() == before


JUDGED = {
    "knn",
    "linear",
    "logistic",
    "few_shot",
    "svm",
    "svm_low_shot",
    "finetune",
    "segmentation",
    "detection",
    "instances",
}
BOXED = {"svm", "svm_low_shot", "detection", "instances"}
TRAINED = {f"pretrain of {method}" for method in registry.methods()}


@pytest.mark.parametrize(
    ("path", "subjects"),
    [
        ("methods/moco/method.py", {"pretrain of moco"}),
        ("methods/memory_bank/method.py", {"pretrain of memory_bank"}),
        ("methods/shuffle.py", {"pretrain of moco", "pretrain of end_to_end"}),
        ("stage/pretrain.py", TRAINED),
        ("evaluate/linear_probe.py", {"linear", "finetune"}),
        ("evaluate/knn.py", {*TRAINED, "knn", "linear", "finetune"}),
        ("evaluate/features.py", {*TRAINED, *JUDGED}),
        ("data/datasets.py", {*TRAINED, *JUDGED}),
        ("stage/execute.py", {*TRAINED, *JUDGED}),
        ("data/multi_label.py", {"svm", "svm_low_shot"}),
        ("box_files.py", {*BOXED, "segmentation"}),  # by VOC's class names, which masks share
        ("mask_files.py", {*BOXED, "segmentation"}),
        ("cli/app.py", set()),
    ],
)
def test_code_decides_the_numbers_of_what_runs_it(
    tree: Path, path: str, subjects: set[str]
) -> None:
    forget()
    before = present().record()
    assert set(before) == {*TRAINED, *JUDGED}
    with (tree / path).open("a") as file:
        file.write("\nADDED = 1\n")
    forget()
    after = present().record()
    assert {what for what in before if after[what] != before[what]} == subjects


def test_a_file_that_nothing_imports_decides_nothing(tree: Path) -> None:
    before = now()
    (tree / "stage" / "another_task.py").write_text("import torch\n")
    (tree / "stage" / "notes.txt").write_text("")
    assert now() == before


def test_words_decide_nothing(tree: Path) -> None:
    before = now()
    path = tree / "methods" / "moco" / "method.py"
    text = path.read_text()
    at = text.index("\nclass ")
    added = f"{text[:at]}\n# why\n\n{text[at:]}\n\n# the end\n"
    path.write_text(added.replace('"""', '"""Another word. ', 1))
    assert now() == before
    path.write_text(text.replace("def ", "def  ", 1))
    assert now() != before


def test_a_text_without_words_computes_the_same() -> None:
    for path in FILES:
        text = path.read_text()
        tree = ast.parse(text)
        for body in module._bodies(tree):
            body[:] = [one for one in body if not module._is_text(one)] or [
                *([ast.Expr(ast.Constant(...))] if body else [])
            ]
        assert ast.dump(ast.parse(without_words(text))) == ast.dump(tree), path


def test_strings_keep_what_looks_like_a_word() -> None:
    text = 'x = """a\n\n# b  \n"""  # c\ny = "#"  \n\n'
    assert without_words(text) == 'x = """a\n\n# b  \n"""\ny = "#"\n'


def test_another_task_and_another_package_change_no_edition_but_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "another_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "run.py").write_text("from .part import part\nfrom harness.evaluate import knn\n")
    (package / "part.py").write_text("def part(): return 1\n")
    (package / "rest.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "another_package", raising=False)
    before = {kind: now(kind) for kind in registry.tasks()}
    added = Task("another", "another_package.run:run", (), "pretrain", (), ())
    monkeypatch.setattr(module, "task", {**registry.tasks(), "another": added}.__getitem__)
    assert {kind: now(kind) for kind in before} == before
    found = closure(added.function.partition(":")[0])
    assert {"another_package.part", "harness.evaluate.knn"} <= set(found)
    assert "another_package.rest" not in found
    own = now("another")
    (package / "part.py").write_text("def part(): return 2\n")
    assert now("another") != own


def test_a_package_may_be_a_single_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "lone_task.py"
    source.write_text("from harness.evaluate import knn\ndef run(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    lone = Task("lone", "lone_task:run", (), "pretrain", (), ())
    monkeypatch.setattr(module, "task", {**registry.tasks(), "lone": lone}.__getitem__)
    found = closure("lone_task")
    assert found["lone_task"] == source
    assert "harness.evaluate.knn" in found
    own = now("lone")
    source.write_text("from harness.evaluate import knn\ndef run(): return 2\n")
    assert now("lone") != own


def test_an_optimiser_has_trainings_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "other_steps"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "steps.py").write_text("LESS = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "other_steps", raising=False)
    forget()
    before = present().record()
    added = Optimiser("own", "other_steps.config:Own", "other_steps.steps:Own")
    found = {**registry.optimisers(), "own": added}
    monkeypatch.setattr(module, "optimisers", lambda: found)
    forget()
    after = present().record()
    own = {f"{what} by own" for what in TRAINED}
    assert set(after) == {*before, *own}
    assert {what: after[what] for what in before} == before
    assert subject("pretrain", "moco", "own") in own
    assert subject("knn", "moco", "own") == "knn"
    (package / "steps.py").write_text("LESS = 2\n")
    forget()
    later = present().record()
    assert {what for what in after if after[what] != later[what]} == own


@pytest.mark.parametrize("library", registry.task("pretrain").libraries)
def test_libraries_decide_it(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, version = now(), metadata.version
    monkeypatch.setattr(
        module.metadata, "version", lambda name: "0" if name == library else version(name)
    )
    assert now() != before


def test_a_task_says_which_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    before = now("knn")
    fewer = replace(registry.task("knn"), libraries=("torch",))
    monkeypatch.setattr(module, "task", lambda _: fewer)
    assert now("knn") != before


# ---- editions of several tasks


def test_editions_are_told_by_kind_unless_they_are_one() -> None:
    assert str(Editions({"pretrain": "a", "knn": "b"})) == "pretrain a, knn b"
    assert str(Editions({"pretrain": "a", "knn": "a"})) == str(Editions.same("a")) == "a"


def test_editions_are_read_as_they_were_written() -> None:
    found = present()
    assert Editions.read(found.record()) == found
    assert Editions.read("abc") == Editions.same("abc")
    assert Editions.read("abc")["linear"] == "abc"  # type: ignore[index]
    assert Editions.read({"knn": 3}) is None
    assert Editions.read(None) is None
