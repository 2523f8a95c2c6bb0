"""A user's mistakes: what is wrong, where, what to do; an exit code; never a traceback."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.track.sync import State, SyncOutcome

RECIPES = Path(harness.__file__).parent.parent / "recipes"
READING = [("plan",), ("run",), ("report",), ("check",), ("recipes", "show")]


@pytest.mark.parametrize("command", READING, ids=" ".join)
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  lr: 0.06", "  lr: fast", "wrong.yaml:9: optim.lr"),
        ("schedule:", "shedule:", "wrong.yaml:10: optim.shedule"),
        ("queue: 64", "queue: 16", "wrong.yaml:5: contrast.queue"),
        ("name: tiny", "name: [", "wrong.yaml:"),
        ("augment: {}", "augment: {}\naugment: {}", "wrong.yaml:4"),
    ],
)
def test_a_wrong_recipe(
    moco: Any, tiny: Path, command: tuple[str, ...], old: str, new: str, says: str
) -> None:
    assert old in tiny.read_text()
    Path("wrong.yaml").write_text(tiny.read_text().replace(old, new))
    said = moco(*command, "wrong.yaml")
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert says in said.err
    assert said.out == ""


@pytest.mark.parametrize("command", READING, ids=" ".join)
@pytest.mark.parametrize("what", ["none.yaml", ".", "\udcff.yaml", "a" * 300, "", "binary"])
def test_no_recipe(moco: Any, command: tuple[str, ...], what: str) -> None:
    Path("binary").write_bytes(bytes(range(256)))
    said = moco(*command, what)
    assert said.code == 2
    assert said.err


@pytest.mark.parametrize(
    "setting", ["optim.lr", "optim.lr=", "=1", "optim.rate=1", "optim..lr=1", "optim.lr=[", "x=1"]
)
def test_a_wrong_setting(moco: Any, tiny: Path, setting: str) -> None:
    said = moco("plan", tiny, "--set", setting)
    assert said.code == 2
    assert f"--set {setting}" in said.err


@pytest.mark.parametrize("command", ["plan", "run", "report", "status", "check"])
def test_a_run_root_that_is_a_file(moco: Any, tiny: Path, command: str) -> None:
    Path("file").touch()
    words = [] if command == "status" else [tiny]
    said = moco(command, *words, "--runs", "file")
    assert said.code == 4
    assert "file: a file" in said.err


def test_a_run_root_that_cannot_be_made(moco: Any, tiny: Path) -> None:
    said = moco("run", tiny, "--runs", "/proc/none")
    assert said.code == 4
    assert "error: /proc/none: " in said.err
    Path("file").touch()
    said = moco("run", tiny, "--runs", "file/runs")
    assert said.code == 4
    assert "file: a file, not a folder" in said.err


def test_a_run_root_on_a_read_only_disk(moco: Any, tiny: Path, mount: Any) -> None:
    disk = mount("size=64k")
    mount("ro")
    said = moco("run", tiny, "--runs", disk / "runs")
    assert said.code == 4
    assert "choose another folder with --runs" in said.err


@pytest.mark.parametrize(
    ("text", "says"),
    [("run: /x\n", "site.yaml:1: run: unknown field"), ("", "site.yaml"), ("device: 3\n", ":1")],
)
@pytest.mark.parametrize("command", ["plan", "run", "status", "report", "check", "sync"])
def test_a_wrong_site(moco: Any, tiny: Path, command: str, text: str, says: str) -> None:
    Path("site.yaml").write_text(text)
    words = [] if command in ("status", "sync") else [tiny]
    said = moco(command, *words, "--site", "site.yaml")
    assert said.code == 2
    assert says in said.err
    missing = moco(command, *words, "--site", "none.yaml")
    assert missing.code == 2
    assert "none.yaml" in missing.err


def test_nobodys_home(moco: Any, tiny: Path) -> None:
    said = moco("plan", tiny, "--runs", "~nobody-of-this-name/runs")
    assert said.code == 2
    assert "no such home folder" in said.err


@pytest.mark.parametrize("on", ["here", "local"])
def test_a_device_that_is_not_there(moco: Any, tiny: Path, on: str) -> None:
    said = moco("run", tiny, "--device", "cuda:99", "--on", on)
    assert said.code == 1
    assert "--device cuda:99: " in said.err
    assert not Path("runs").exists(), "nothing was begun"


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_device_that_nothing_is_called(
    moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("MOCO_HARNESS_DEVICE", "tpu")
    said = moco(command, tiny)
    assert said.code == 2
    assert "MOCO_HARNESS_DEVICE=tpu: " in said.err


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--runs="), ("gc", "--runs="), ("plan", "tiny.yaml", "--data="),
        ("run", "tiny.yaml", "--site="), ("report", "tiny.yaml", "--out="),
        ("check", "tiny.yaml", "--json="), ("recipes", "schema", "--out="),
    ],
)  # fmt: skip
def test_an_empty_path(moco: Any, tiny: Path, words: tuple[str, ...]) -> None:
    assert tiny.exists()
    said = moco(*words)
    assert said.code == 2
    assert "an empty path" in said.err
    assert os.listdir() == ["tiny.yaml"]  # noqa: PTH208


@pytest.mark.parametrize("words", [("logs", ""), ("cancel", "", "--yes")])
def test_an_empty_name(moco: Any, words: tuple[str, ...]) -> None:
    said = moco(*words)
    assert said.code == 4
    assert said.err.startswith("error: an empty name; moco-harness status --all lists")


def test_status_of_nothing(moco: Any) -> None:
    for root in ("none", "."):
        said = moco("status", "--runs", root)
        assert said.code == 0
        assert f"no runs under {root} yet" in said.out


def test_an_error_on_a_terminal_breaks_between_words(
    moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("plan", tiny, "--set", "optim.epochs")
    whole = moco(*words).err
    assert len(whole.splitlines()) == 1
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    lines = moco(*words).err.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 50
    assert " ".join(lines) == whole.strip()


def test_nothing_to_check_and_nothing_to_sync(moco: Any, tiny: Path) -> None:
    said = moco("check", tiny)
    assert said.code == 2
    assert "no targets to check" in said.err
    said = moco("sync")
    assert said.code == 0
    assert "no runs under runs" in said.out


@pytest.mark.parametrize(("state", "code"), [("failed", 1), ("waiting", 0), ("uploaded", 0)])
def test_an_upload_that_failed_is_an_exit_code(
    moco: Any, monkeypatch: pytest.MonkeyPatch, state: State, code: int
) -> None:
    found = [SyncOutcome("a", "wandb", "already"), SyncOutcome("b", "wandb", state)]
    monkeypatch.setattr("harness.track.sync.sync", lambda *_: found)
    assert moco("sync").code == code


def test_a_check_of_what_was_not_run(moco: Any, tiny: Path) -> None:
    target = "{metric: knn/top1, value: 50, tolerance: 1, source: me}"
    said = moco("check", tiny, "--set", f"about.targets=[{target}]")
    assert said.code == 6
    assert "missing" in said.out


# ---- long work


def test_long_work_is_asked_for(moco: Any, tiny: Path) -> None:
    cost = "about.cost={hours: 53, on: 8 V100, gpus: 8, source: v1}"
    said = moco("run", tiny, "--set", cost)
    assert said.code == 1
    assert "about 2.2 days of work" in said.err
    assert "8 V100" in said.out
    assert not Path("runs").exists()


def test_the_papers_recipe_is_long_work(moco: Any) -> None:
    recipe = RECIPES / "moco_v1_imagenet.yaml"
    said = moco("run", recipe, "--data", "none")
    assert said.code == 3, "nobody is asked about work that cannot begin"
    assert "data missing" in said.err
    for part in ("train", "val"):
        (Path("data/imagenet") / part).mkdir(parents=True)
    said = moco("run", recipe, "--data", "data")
    assert said.code == 1
    assert f"moco-harness run {recipe} --data data --yes" in said.err


def test_what_is_long_is_the_sites_word(moco: Any, tiny: Path) -> None:
    Path("site.yaml").write_text("ask_above_hours: 0.1\n")
    cost = "about.cost={hours: 0.2, on: a GPU, source: me}"
    said = moco("run", tiny, "--site", "site.yaml", "--set", cost)
    assert said.code == 1
    assert "12 min" in said.err


# ---- data


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every download is refused at once."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("urllib.request._opener", None)


def cifar(name: str = "cifar10") -> list[str]:
    return ["--set", f"data.name={name}", "--data", "data"]


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stl10"])
def test_data_that_cannot_be_had(moco: Any, tiny: Path, name: str) -> None:
    said = moco("run", tiny, *cifar(name))
    assert said.code == 3
    assert f"error: {name} is incomplete in data" in said.err
    assert "--data" in said.err
    assert re.search(r"^  tiny-s0\.pretrain-\w+: failed$", said.out, re.MULTILINE)
    status = moco("status")
    assert "failed" in status.out
    plan = moco("plan", tiny, "--set", f"data.name={name}")
    assert "retry" in plan.out


def test_a_plan_tells_what_data_are_missing(moco: Any, tiny: Path) -> None:
    said = moco("plan", tiny, *cifar())
    assert said.code == 0
    assert "(170 MB)" in said.out
    Path("data/cifar-10-batches-py").mkdir(parents=True)
    said = moco("plan", tiny, *cifar())
    assert "data: cifar10 in data\n" in said.out
    assert "missing" not in said.out
    assert "data" not in moco("plan", tiny, "--data", "data").out, "embedded: nothing to look for"


@pytest.mark.usefixtures("offline")
def test_corrupt_data(moco: Any, tiny: Path) -> None:
    folder = Path("data/cifar-10-batches-py")
    folder.mkdir(parents=True)
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"]:
        (folder / name).write_bytes(pickle.dumps({"data": b"", "labels": []}))
    said = moco("run", tiny, *cifar())
    assert said.code == 3
    assert "cifar10 is incomplete in data" in said.err


@pytest.mark.parametrize("there", [[], ["train/a"], ["train/a", "val/a"]])
def test_an_image_folder_without_images(moco: Any, tiny: Path, there: list[str]) -> None:
    for inner in there:
        (Path("data/pets") / inner).mkdir(parents=True)
    said = moco(
        "run", tiny, "--data", "data", "--set", "data.name=imagefolder",
        "--set", "data.folder=pets", "--set", "data.images=null", "--yes",
    )  # fmt: skip
    assert said.code == 3
    assert "data/pets/train: " in said.err


def test_a_data_root_that_cannot_be_made(moco: Any, tiny: Path) -> None:
    said = moco("run", tiny, "--set", "data.name=cifar10", "--data", "/proc/none")
    assert said.code == 3
    assert "/proc/none" in said.err
    assert os.path.isdir("runs")  # noqa: PTH112
