from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import pytest

from harness.errors import HarnessError, RecipeError
from harness.recipe.evaluation import KnnTask
from harness.recipe.task import TaskSection
from harness.spec.named_code import call, load_section

CODE = """
from harness.errors import RecipeError

def boom(*_):
    raise ValueError("boom")

def refuses(*_):
    raise RecipeError("no section own:")
"""


class Other(TaskSection):
    kind: Literal["other"]


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_a_package.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "of_a_package", raising=False)


@pytest.mark.parametrize(
    ("dotted", "said"),
    [
        ("of_a_package:absent", "of_a_package:absent: AttributeError"),
        ("no_package_at_all:run", "no_package_at_all:run: ModuleNotFoundError"),
        ("of_a_package:boom", "of_a_package:boom.* fails: ValueError: boom"),
        ("of_a_package:refuses", "^no section own:$"),
    ],
)
def test_an_error_of_a_package_is_a_message_that_names_it(dotted: str, said: str) -> None:
    with pytest.raises(HarnessError, match=said):
        call(dotted, 1)


def test_an_error_of_the_harness_keeps_its_traceback() -> None:
    with pytest.raises(AttributeError):
        call("harness.errors:absent")
    with pytest.raises(TypeError):
        call("harness.errors:clause")


def test_a_refusal_keeps_its_kind() -> None:
    with pytest.raises(RecipeError):
        call("of_a_package:refuses")


@pytest.mark.parametrize(
    ("kind", "dotted", "said"),
    [
        ("own", "of_a_package:boom", "declares of_a_package:boom, which is not a TaskSection"),
        ("own", f"{__name__}:Other", "needs the field kind: Literal\\['own'\\]"),
        ("own", "harness.recipe.task:TaskSection", "needs the field kind"),
    ],
)
def test_a_section_must_be_of_its_class_and_kind(kind: str, dotted: str, said: str) -> None:
    with pytest.raises(HarnessError, match=said):
        load_section("task", kind, dotted, TaskSection)


def test_a_section_that_fits() -> None:
    found = load_section("task", "knn", "harness.recipe.evaluation:KnnTask", TaskSection)
    assert found is KnnTask
