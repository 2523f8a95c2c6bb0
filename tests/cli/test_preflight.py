"""Warnings as a user meets them: they are printed, can be accepted, and change no exit code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

KEYS = ["own-image-negatives", "queue-turnover", "slow-key-encoder", "rate-for-batch"]


def warned(out: str) -> list[str]:
    return re.findall(r"^ *warning: ([a-z-]+): ", out, re.MULTILINE)


@pytest.mark.parametrize(
    "words",
    [["plan"], ["run", "--dry-run"], ["recipes", "validate"]],
    ids=lambda words: words[-1].strip("-"),
)
def test_what_a_recipe_cannot_mean(moco: Any, tiny: Path, words: list[str]) -> None:
    said = moco(*words, tiny)
    assert (said.code, said.err, warned(said.out)) == (0, "", KEYS)
    (line,) = [line for line in said.out.splitlines() if "about: {accept:" in line]
    tiny.write_text(tiny.read_text() + line[line.index("about: {accept:") :] + "\n")
    said = moco(*words, tiny)
    assert (said.code, said.err, warned(said.out)) == (0, "", [])
    assert "4 warnings accepted in about.accept" in said.out
    assert "{accept:" not in said.out


def test_a_change_on_the_command_line_is_judged_too(moco: Any, tiny: Path) -> None:
    changes = ["contrast.momentum=0.5", "optim.lr=0.004", "data.images=2000"]
    sets = [word for change in changes for word in ("--set", change)]
    said = moco("plan", tiny, *sets)
    assert warned(said.out) == ["queue-turnover"]
    accept = re.findall(r"add --set '(.*)'$", said.out, re.MULTILINE)
    assert accept == ["about.accept=[queue-turnover]"]
    said = moco("plan", tiny, *sets, "--set", *accept)
    assert warned(said.out) == []
    assert "1 warning accepted in about.accept" in said.out
