"""What is left on the screen: a console of 80 columns that writes into a string."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from harness.launch.progress import Bars, Lines, in_short, watching

LONG = "a-recipe-of-a-long-name-that-no-terminal-has-room-for.m0.999-s0.pretrain-43b10a37d3"
FIGURES = {"train/loss": 3.3191, "knn/top1": 48.0, "train/images_per_s": 1234.5}


def written(kind: type[Bars] | type[Lines]) -> tuple[Any, io.StringIO]:
    file = io.StringIO()
    drawn = kind is Bars
    console = Console(file=file, width=80, force_terminal=drawn, color_system=None)
    return kind(console, 9), file


def staying(text: str) -> list[str]:
    """The lines that no carriage return or cursor movement took back."""
    plain = re.sub(r"\x1b\[\?25[hl]", "", text)
    lines = [line.rpartition("\x1b[2K")[2] for line in plain.split("\n")]
    return [line for line in lines if line.strip()]


@pytest.mark.parametrize("kind", [Bars, Lines])
def test_a_stage_that_fails_before_it_begins_has_its_name(kind: Any) -> None:
    reporter, file = written(kind)
    with reporter:
        for name in ("one", "two"):
            reporter.open(name)
            reporter.end("failed", {})
    ends = staying(file.getvalue())
    assert len(ends) == 2
    assert re.search(r"\bone\b.*\bfailed", ends[0])
    assert re.search(r"\btwo\b.*\bfailed", ends[1])


@pytest.mark.parametrize(
    ("speed", "shown"), [(0.042, "0.042"), (0.4, "0.4"), (9.96, "10"), (12.3, "12"), (0.0, "0")]
)
def test_slow_steps_are_not_shown_as_none(speed: float, shown: str) -> None:
    for name in ("train/images_per_s", "detection/images_per_s"):
        assert in_short({name: speed}) == f"{shown} images/s"


def test_a_note_does_not_stand_behind_another_line() -> None:
    reporter, file = written(Bars)
    with reporter:
        reporter.open("one")
        reporter.note("[x] is damaged")
        reporter.begin("one", total=2, done=1, steps_per_epoch=2)
        reporter.end("finished", {})
    assert "note: [x] is damaged" in staying(file.getvalue())


def test_each_stage_that_ended_leaves_a_line() -> None:
    reporter, file = written(Bars)
    with reporter:
        for name in ("one", "two", "three"):
            reporter.open(name)
            reporter.begin(name, total=8, done=2, steps_per_epoch=4)
            reporter.advance(6, FIGURES)
            reporter.end("finished", FIGURES)
    left = [line for line in file.getvalue().split("\n") if "✓" in line]
    assert [line.split("✓ ")[1].split()[0] for line in left] == ["one", "two", "three"]
    assert all(line.endswith("loss 3.319 · kNN 48.0 % · 1,234 images/s") for line in left)
    # as many lines are taken back as the bar and what stands below it have
    taken = file.getvalue().count("\x1b[1A")
    assert taken
    assert taken % 3 == 0


def test_nothing_is_wider_than_the_terminal() -> None:
    reporter, _ = written(Bars)
    with reporter:
        reporter.open(LONG)
        reporter.begin(LONG, total=1_250_000, done=0, steps_per_epoch=1000)
        reporter.advance(1_000_000, FIGURES)
        screen = Console(file=io.StringIO(), width=80)
        with screen.capture() as capture:
            screen.print(reporter._display.get_renderable())
        reporter.end("interrupted", {})
    lines = capture.get().splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80
    assert re.match(r"1/9 ….*\.m0\.999-s0\.pretrain ━+ +80 %", lines[0])
    assert lines[1].startswith(
        "  epoch 1000.0/1250 · step 1000000/1250000 · loss 3.319 · kNN 48.0 %"
    )


def test_bars_are_for_terminals_that_can_draw() -> None:
    def chosen(**facts: Any) -> type:
        return type(watching(Console(file=io.StringIO(), **facts), 1))

    assert chosen() is Lines
    assert chosen(force_terminal=True, _environ={"TERM": "xterm"}) is Bars
    assert chosen(force_terminal=True, _environ={"TERM": "dumb"}) is Lines


@pytest.mark.parametrize("kind", [Bars, Lines])
def test_the_line_of_a_collapsed_stage_says_so(kind: Any) -> None:
    reporter, file = written(kind)
    with reporter:
        for since in (0.0, 2.0):
            reporter.open("one")
            reporter.begin("one", total=8, done=0, steps_per_epoch=4)
            reporter.end("finished", FIGURES | {"health/collapsed": since})
    *_, healthy, collapsed = (
        staying(file.getvalue()) if kind is Bars else file.getvalue().split("finished")
    )
    assert "collapsed" not in healthy
    assert "collapsed since epoch 2" in collapsed


def test_an_interval_over_draws_stands_behind_its_mean() -> None:
    reporter, file = written(Lines)
    with reporter:
        figures = {"few_shot/top1": 40.0, "few_shot/half_width_over_draws": 2.5}
        reporter.end("finished", figures | {"train/loss": 1.0})
    (line,) = staying(file.getvalue())
    assert line.endswith("loss 1.000 · few-shot 40.0 % · ± 2.5 over draws")
