"""What is printed stops no command, and commands no terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from cli.tiny import TINY, command
from rich.live import Live
from rich.table import Table

from harness.cli import show
from harness.output import inert, lost, tolerate_print_errors

FULL = Path("/dev/full")
full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")


def moco(place: Path, *words: str) -> tuple[int, str]:
    """Exit code and standard error of a command whose standard output is a full disk."""
    (place / "tiny.yaml").write_text(TINY)
    with FULL.open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "harness.cli", *words],
            cwd=place,
            env={**os.environ, "MOCO_HARNESS_SITE": "", "WANDB_MODE": "disabled"},
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    return done.returncode, done.stderr


@full
@pytest.mark.parametrize("words", [("--help",), ("plan", "tiny.yaml"), ("recipes", "list")])
def test_a_full_disk_under_the_output_is_said_once(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, said = moco(tmp_path, *words)
    assert code == 4
    assert said.count("standard output: No space left on device") == 1
    assert "Traceback" not in said


def into_full(*words: str) -> None:
    """The command, its standard output a full disk."""
    with FULL.open("w") as out:
        os.dup2(out.fileno(), 1)
    command(*words)


@full
def test_a_run_goes_on_when_its_log_is_full(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    words = ("run", str(tmp_path / "tiny.yaml"), "--yes", "--device", "cpu", "--set", "linear=null")
    said = tmp_path / "said.txt"
    run = forked.start(into_full, *words, "--runs", str(tmp_path / "runs"), said=said)
    run.join(300)  # coverage makes it slow
    assert run.exitcode == 4
    assert "Traceback" not in said.read_text()
    assert len(list((tmp_path / "runs").glob("tiny-*/result.json"))) == 2


def test_a_closed_pipe_still_ends_a_command() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "recipes", "list"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == b""


@full
def test_what_was_lost_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with FULL.open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        tolerate_print_errors()
        first = sys.stdout
        tolerate_print_errors()
        assert sys.stdout is first, "once is enough"
        assert not lost()
        print("x" * 100_000)
        assert lost()


def test_a_tests_own_stream_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    tolerate_print_errors()
    assert sys.stdout is stream
    assert not lost()


@pytest.mark.parametrize("sign", ["\x1b", "\x9b", "\r", "\x08", "\0", "\u202e"])
def test_what_commands_a_terminal_becomes_a_sign(sign: str) -> None:
    assert inert(f"a{sign}[31mb") == "a\ufffd[31mb"
    table = Table(box=None)
    table.add_column("what")
    table.add_row(f"cell{sign}")
    with show.console.capture() as printed:
        show.console.print(table)
        show.line(f"line{sign}")
    assert "cell" in printed.get()
    assert not {sign} & set(printed.get())


def test_what_is_drawn_live_is_inert_too() -> None:
    stream = io.StringIO()
    terminal = show.InertConsole(file=stream, force_terminal=True, width=40)
    with Live(console=terminal, auto_refresh=False) as live:
        live.update("a\x1b]0;title\x07b", refresh=True)
    assert "title" in stream.getvalue()
    assert "\x1b]0" not in stream.getvalue()


def test_a_stage_log_is_inert(tmp_path: Path) -> None:
    stage = tmp_path / "runs" / "tiny-s0.pretrain-0123456789"
    attempt = stage / "attempts" / "0001"
    attempt.mkdir(parents=True)
    (stage / "stage.json").write_text('{"schema": 1, "id": "tiny-s0.pretrain-0123456789"}')
    (attempt / "attempt.json").write_text("{}")
    (attempt / "traceback.txt").write_text("a\x1b[2J\rb\n")
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "logs", stage.name, "--runs", str(tmp_path / "runs")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "a\ufffd[2J" in done.stdout
    assert "\x1b" not in done.stdout


def test_text_is_left_as_it_is() -> None:
    plain = "τ = 0.07\tm → 0.999\n😀 Größe"
    assert inert(plain) == plain
