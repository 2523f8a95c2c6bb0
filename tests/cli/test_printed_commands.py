"""Commands that are printed: pasted into a shell they do what they say, from where the user is."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from cli.tiny import Said
from harness.command import Commands


def pasted(moco: Any, text: str, before: str) -> Said:
    """What the command behind the words `before` in a printed text does."""
    (line,) = re.findall(rf"^\s*{re.escape(before)}(.*)$", text, re.MULTILINE)[-1:]
    program, *words = shlex.split(line)
    assert program == "moco-harness"
    said: Said = moco(*words)
    return said


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("linear.lr=1,2", "linear.lr", [1.0, 2.0]),
        ("linear.lr=(1, 2)", "linear.lr", [1.0, 2.0]),
        ("linear.lr=[1 2]", "linear.lr", [1.0, 2.0]),
        ('linear.lr="1"', "linear.lr", [1.0]),
        ("about.title=1e5", "about.title", "1e5"),
        ("about.title=1_000", "about.title", "1_000"),
        ("about.title=null", "about.title", "null"),
        ("about.title=[draft] it's", "about.title", "[draft] it's"),
        ('about.title="run" #3', "about.title", '"run" #3'),
        ("optim.epochs=3.0", "optim.epochs", 3),
        ("optim.epochs: 3", "optim.epochs", 3),
        ("optim.epochs='3'", "optim.epochs", 3),
        ("data.images=1,000", "data.images", 1000),
        ("contrast.shuffle=no", "contrast.shuffle", False),
        ("optim.schedule=kind: cosine", "optim.schedule.kind", "cosine"),
        ("optim.schedule={kind:cosine}", "optim.schedule.kind", "cosine"),
    ],
)
def test_a_refused_setting_is_written_anew(
    moco: Any, tiny: Path, setting: str, field: str, value: object
) -> None:
    import yaml

    refused = moco("recipes", "show", tiny, "--set", "seed=2", "--set", setting)
    assert refused.code == 2
    said = pasted(moco, refused.err, "write: ")
    assert said.code == 0, said.all
    found = yaml.safe_load(said.out)
    assert found["seed"] == 2
    for key in field.split("."):
        found = found[key]
    assert found == value


@pytest.mark.parametrize(
    "text",
    [
        "run #3",
        "a: b",
        "@x",
        "%x",
        "*x",
        "&x",
        "!x y",
        "- x",
        "? x",
        "| x",
        "> x",
        "yes",
        "#",
    ],
)
def test_a_text_is_taken_as_it_is(moco: Any, tiny: Path, text: str) -> None:
    import yaml

    said = moco("recipes", "show", tiny, "--set", f"about.title={text}")
    assert said.code == 0, said.all
    assert yaml.safe_load(said.out)["about"]["title"] == text


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "tiny.yaml", "optim.epochs=3"],
        ["plan", "tiny.yaml", "--device", "cpu", "optim.epochs=3", "about.title=a b"],
        ["plan", "quickstart", "--set", "linear.lr=1,2"],
        ["run", "tiny.yaml", "--set=linear.lr=1,2", "--dry-run", "--runs", "a b"],
        ["plan", "tiny.yaml", "-set", "optim.epochs=3", "-set", "seed=2"],
        ["plan", "tiny.yaml", "--sets", "optim.epochs=3", "--device", "cpu"],
        ["plan", "tiny.yaml", "--device=cpu", "optim.epochs=3"],
    ],
)
@pytest.mark.usefixtures("tiny")
def test_the_whole_command_works(moco: Any, words: list[str]) -> None:
    refused = moco(*words)
    assert refused.code == 2
    said = pasted(moco, refused.err, "write: ")
    assert said.code == 0, said.all


def test_nothing_is_advised_that_does_not_help(moco: Any, tiny: Path) -> None:
    for words in (
        ["plan", tiny, "--set", "optim.lr=fast"],
        ["plan", tiny, "optim.lr=1", "--no-such-option"],
        ["plan", tiny, "-set", "seed=1", "seed", "2"],
        ["plan", tiny, "epochs=1"],
        ["status", "optim.lr=1"],
    ):
        said = moco(*words)
        assert said.code == 2
        assert "write: " not in said.err


def test_a_run_root_that_was_moved(moco: Any, tiny: Path, place: Path) -> None:
    said = moco("run", tiny, "--runs", "old", "--set", "optim.lr=1e30", "--set", "linear=null")
    assert said.code == 0
    (stage,) = Path("old").glob("tiny-s0.pretrain-*")
    (stage / "result.json").unlink()
    (stage / "attempts/0001/ended.json").write_text(json.dumps({"how": "interrupted"}))
    Path("old").rename("new root")
    status = moco("status", "--runs", "new root")
    assert f"--runs '{place / 'new root'}'" in status.out
    again = pasted(moco, status.out, "run again: ")
    assert again.code == 0
    assert (Path("new root") / stage.name / "result.json").exists()
    assert not Path("old").exists()


def test_from_another_folder_with_a_site_file(
    moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("site.yaml").write_text(f"runs: {Path('far').absolute()}\ndevice: cpu\n")
    assert moco("run", tiny, "--site", "site.yaml", "--set", "linear=null").code == 0
    (stage,) = Path("far").glob("tiny-s0.knn-*")
    (stage / "result.json").unlink()
    (stage / "attempts/0001/ended.json").write_text(json.dumps({"how": "failed", "message": "x"}))
    other = Path("elsewhere").absolute()
    other.mkdir()
    stage = stage.absolute()
    monkeypatch.chdir(other)
    root = stage.parent
    status = moco("status", "--runs", root)
    more = re.findall(r"more: (.*)$", status.out, re.MULTILINE)
    assert moco(*shlex.split(more[0])[1:]).code == 0
    again = pasted(moco, status.out, "fix what failed, then run again: ")
    assert again.code == 0, again.all
    assert (stage / "result.json").exists()
    assert not os.listdir(other)  # noqa: PTH208


def test_only_what_is_needed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Commands(Path("runs")).line("status") == "moco-harness status"
    assert Commands(tmp_path / "runs").line("status") == "moco-harness status"
    other = Commands(Path("x y")).line("logs", "a")
    assert shlex.split(other)[1:] == ["logs", "a", "--runs", str(tmp_path / "x y")]
    words = ["moco-harness", "run", "r.yaml", "--runs=b", "--site", "s", "-y", "--data", "d"]
    monkeypatch.setenv("MOCO_HARNESS_RUNS", str(tmp_path / "env"))
    (tmp_path / "s").write_text("{runs: b}\n")
    again = Commands(Path("env")).again(words, str(tmp_path))
    assert shlex.split(again)[1:] == ["run", "r.yaml", "-y", "--data", "d", "--site", "s"]
    assert Commands(Path("env")).again(["_submit.py", "run", "x"]) == ""
    assert Commands(Path("env")).again(["moco-harness", "bench", "x"]) == ""


def test_a_path_from_elsewhere_has_no_way_up_in_it_unless_a_link_is_crossed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    monkeypatch.chdir(tmp_path)

    def again(folder: str) -> str:
        words = ["moco-harness", "run", "../my.yaml", "--data", "../d"]
        return Commands(Path("runs")).again(words, str(tmp_path / folder))

    assert shlex.split(again("a"))[2:] == [f"{tmp_path}/my.yaml", "--data", f"{tmp_path}/d"]
    link = f"{tmp_path}/link/.."
    assert shlex.split(again("link"))[2:] == [f"{link}/my.yaml", "--data", f"{link}/d"]
    monkeypatch.chdir(tmp_path / "a")
    assert Commands(Path("../runs")).line("status").endswith(f"--runs {tmp_path}/runs")


def test_several_data_roots_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "d").mkdir(parents=True)
    words = ["moco-harness", "run", "quickstart", "--data", "d:../e"]
    again = Commands(Path("runs")).again(words, str(tmp_path / "a"))
    assert shlex.split(again)[3:] == ["--data", f"{tmp_path}/a/d:{tmp_path}/e"]


def test_pictures_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "mine").mkdir(parents=True)
    words = ["moco-harness", "evaluate", "w.pth", "--on", "../b", "--on=./mine", "--on", "mine"]
    again = shlex.split(Commands(Path("runs")).again(words, str(tmp_path / "a")))
    here = ["--on", f"{tmp_path}/b", "--on", f"{tmp_path}/a/mine"]
    assert again[3:] == [*here, "--on", "mine"], "a plain name may be the data root's"


# ---- cancel


def test_cancel_takes_a_recipes_name(moco: Any, tiny: Path) -> None:
    Path("recipes").mkdir()
    tiny.rename("recipes/tiny.yaml")
    assert moco("run", "tiny", "--set", "linear=null").code == 0
    said = moco("cancel", "tiny", "--set", "linear=null", "--yes")
    assert said.code == 0
    assert "nothing to cancel" in said.out
    assert moco("cancel", "tiny", "--set", "seed=7", "--yes").code == 0
    assert moco("cancel", "quickstart", "--set", "seeds=[50]", "--yes").code == 0
    assert moco("cancel", "tiny-s0", "--yes").code == 0
    refused = moco("cancel", "tiny-s0", "--set", "seed=1", "--yes")
    assert refused.code == 2
    assert "--set seed=1" in refused.err
    assert moco("cancel", "nobody", "--set", "seed=1", "--yes").code == 2
