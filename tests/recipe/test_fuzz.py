"""Whatever stands in a file or an option: a recipe, or a RecipeError of clean lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import RecipeError
from harness.recipe.ablation import Scale
from harness.recipe.expand import expand
from harness.recipe.load import load

from .conftest import BASE
from .test_expand import SCALE, TABLE

FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXT = st.text("abkxé0159 .,:;-_=+~[]{}()<>'\"|#&*!?%@`$^\\/\t\r\n\0\x07\x85\u2028\ufeff€😀")
SNIPPETS = st.sampled_from(
    ["\n", " ", "  ", "\t", ": ", "- ", "[", "]", "{", "}", "'", '"', "|", ">", "#", "&a", "*a",
     "!!", "<<: ", "? ", "---\n", "...", "%YAML 1.1\n", "null", "true", "yes", ".nan", "1e999",
     "-1", "0.5", "1e3", "0o7", "9" * 30, "kind: step", "extends: f.yaml", "\\ud800", "\0",
     "\ufeff", "\x85", "\u2028", "optim.", "seeds: [1]", "cells: ", "set: ", "name: "]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 12))
        text = text[:start] + draw(SNIPPETS | TEXT.map(lambda t: t[:4])) + text[start + length :]
    return text


def attempt(path: Path, *sets: str) -> None:
    try:
        found = load(path, sets)
        if isinstance(found, Scale):
            expand(found, path)
    except RecipeError as error:
        for line in str(error).splitlines():
            assert line.startswith((str(path), path.name, "--set ", "f.yaml", "base.yaml",
                                    "ablations/", "recipes/", ".")), line  # fmt: skip
            assert line.isprintable(), line


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("ablations").mkdir()
    Path("ablations/momentum.yaml").write_text(TABLE, encoding="utf-8")
    Path("base.yaml").write_text(BASE, encoding="utf-8")
    return Path("f.yaml")


@FUZZ
@given(content=st.binary(max_size=200) | TEXT.map(str.encode))
def test_any_bytes(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    attempt(file)


@FUZZ
@given(text=mutated(BASE) | mutated(SCALE) | mutated("extends: base.yaml\n" + BASE))
def test_mutated_files(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="replace")
    attempt(file)


@FUZZ
@given(text=mutated(TABLE))
def test_mutated_ablations(file: Path, text: str) -> None:
    Path("ablations/momentum.yaml").write_text(text, encoding="utf-8", errors="replace")
    file.write_text(SCALE, encoding="utf-8")
    attempt(file)


@FUZZ
@given(
    text=TEXT
    | st.builds("{}={}".format, st.sampled_from(["optim.lr", "optim", "linear", "knn.k", "seeds",
                                                 "optim.schedule", "name", "set", "about"]),
                SNIPPETS | TEXT)
)  # fmt: skip
def test_any_option(file: Path, text: str) -> None:
    attempt(Path("base.yaml"), text)
    file.write_text(SCALE, encoding="utf-8")
    attempt(file, text)
