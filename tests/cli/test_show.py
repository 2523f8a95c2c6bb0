"""Lines on a terminal: wrapped between words, and commands in a form that can be copied."""

from __future__ import annotations

import re
import shlex

import pytest
from rich.console import Console

from harness.cli import show
from harness.cli.show import wrapped

COMMAND = (
    "moco-harness run recipes/tiny.yaml --set 'about.title=a b' --set optim.lr=0.1 --runs /a/b/c"
)


@pytest.mark.parametrize("width", [36, 50, 80])
@pytest.mark.parametrize(
    "head", ["run again:", "  tiny failed: no data in /data, put them there; more:"]
)
def test_a_command_goes_on_behind_a_backslash(width: int, head: str) -> None:
    lines = wrapped(f"{head} {COMMAND}", width)
    begin = next(n for n, line in enumerate(lines) if "moco-harness" in line)
    text = "\n".join(lines[begin:])
    copied = text[text.index("moco-harness") :]
    assert shlex.split(copied.replace("\\\n", "")) == shlex.split(COMMAND)
    assert all(len(line) <= width or len(line.split()) <= 2 for line in lines), lines


def test_a_line_that_fits_stays_as_it_is() -> None:
    assert wrapped(f"run again: {COMMAND}", 200) == [f"run again: {COMMAND}"]


def test_a_command_inside_a_sentence_is_not_torn() -> None:
    for width in range(40, 80):
        lines = wrapped(
            "set runs: in the site file; moco-harness doctor --submit checks a node", width
        )
        assert sum("moco-harness doctor --submit" in line for line in lines) == 1


def test_paths_are_never_cut() -> None:
    path = "/a/long/path/to-a-file/that/does-not/fit.yaml"
    assert path in re.split(r"\s+", "\n".join(wrapped(f"report: {path}", 20)))


def test_a_script_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    console = Console(force_terminal=True, width=20, color_system=None)
    monkeypatch.setattr(show, "console", console)
    script = "#!/bin/sh\n\n  srun moco-harness run tiny.yaml --set optim.epochs=2"
    show.line(script)
    assert capfd.readouterr().out == f"{script}\n"
