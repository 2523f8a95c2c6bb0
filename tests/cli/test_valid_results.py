"""A result that its journal contradicts, or that is a copy: every command says so, none uses it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.conftest import Once
from cli.tiny import Said

TARGETS = """\
about:
  targets:
    - {metric: knn/top1, value: 0, tolerance: 0, minimum: true, source: a guess}
    - {metric: linear/top1, value: 0, tolerance: 0, minimum: true, source: a guess}
"""


@pytest.fixture
def done(moco: Callable[..., Said], tiny: Path, once: Once) -> Path:
    """Two seeds of a recipe that were run, monitored after each epoch."""
    tiny.write_text(tiny.read_text().replace("knn_epochs: 0", "knn_epochs: 1") + TARGETS)

    def run() -> None:
        for seed in (0, 1):
            assert moco("run", tiny, "--set", f"seed={seed}").code == 0

    once(run)
    return tiny


def stage(kind: str, seed: int = 0) -> Path:
    (found,) = Path("runs").glob(f"tiny-s{seed}.{kind}-*")
    return found


def said(moco: Callable[..., Said], recipe: Path) -> dict[str, str]:
    """What each command says of the recipe's first seed, or of both."""
    moco("report", recipe, "--out", "out")
    words = {
        "status": moco("status"),
        "check": moco("check", recipe),
        "baseline": moco("check", recipe, "--seeds", "0,1", "--write-baseline", "base.json"),
        "publish": moco("publish", recipe),
        "plan": moco("plan", recipe),
    }
    for command, each in words.items():
        assert (each.code == 0) == (command == "status"), f"{command}: {each.all}"
    assert not Path("base.json").exists()
    assert not Path("reports").exists()
    told = {command: " ".join(each.all.split()) for command, each in words.items()}
    return told | {"report": next(Path("out").rglob("report.md")).read_text()}


def test_what_is_valid_is_used_by_all(moco: Callable[..., Said], done: Path) -> None:
    assert moco("check", done).code == 0
    found = moco("check", done, "--seeds", "0,1", "--write-baseline", "base.json")
    assert found.code == 0, found.all
    assert moco("publish", done).code == 0
    assert moco("check", done, "--runs", "reports/tiny/runs").code == 0
    assert "damaged" not in moco("status").all


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("pretrain", "train/loss"),
        ("pretrain", "pretext/top1"),
        ("pretrain", "knn/top1"),
        ("knn", "knn/top1"),
        ("linear", "linear/top1"),
    ],
)
def test_a_value_that_the_journal_contradicts(
    moco: Callable[..., Said], done: Path, kind: str, name: str
) -> None:
    path = stage(kind) / "result.json"
    result = json.loads(path.read_text())
    was, result["values"][name] = result["values"][name], 91.25
    path.write_text(json.dumps(result))
    for command, text in said(moco, done).items():
        assert "damaged" in text or command in ("publish", "baseline", "plan"), command
        assert "91.25" in text, command
        assert f"{was:.4g}"[:4] in text, command


def monitor(text: str) -> str:
    lines = text.splitlines(keepends=True)
    n = next(n for n, line in enumerate(lines) if "knn/top1" in line)
    return "".join([*lines[:n], json.dumps(json.loads(lines[n]) | {"knn/top1": 170.0}) + "\n",
                    *lines[n + 1 :]])  # fmt: skip


def repeated(text: str) -> str:
    first, *rest = text.splitlines(keepends=True)
    return "".join([first, first, *rest])


def dropped(text: str) -> str:
    first, second, _, *rest = text.splitlines(keepends=True)
    return "".join([first, second, *rest])


def swapped(text: str) -> str:
    first, second, *rest = text.splitlines(keepends=True)
    return "".join([second, first, *rest])


def changed(text: str) -> str:
    first, *rest = text.splitlines(keepends=True)
    return "".join([json.dumps(json.loads(first) | {"train/loss": 1.25}) + "\n", *rest])


@pytest.mark.parametrize("edit", [monitor, repeated, dropped, swapped, changed])
def test_a_journal_that_was_edited(
    moco: Callable[..., Said], done: Path, edit: Callable[[str], str]
) -> None:
    path = stage("pretrain") / "attempts/0001/metrics.jsonl"
    path.write_text(edit(path.read_text()))
    for command, text in said(moco, done).items():
        assert "metrics.jsonl" in text, command
    assert not list(Path("out").rglob("*.svg")), "nothing of it is drawn"


@pytest.mark.parametrize("what", ["all", "result.json", "attempts"])
@pytest.mark.parametrize("older", [False, True])
def test_a_copy_of_another_seed_under_its_own_name(
    moco: Callable[..., Said], done: Path, what: str, older: bool
) -> None:
    """Older records name no stage and no checksums: then both are suspected."""
    for kind in ("pretrain", "knn", "linear"):
        one, other = stage(kind, 0), stage(kind, 1)
        if older:
            for folder in (one, other):
                path = folder / "result.json"
                found = json.loads(path.read_text())
                del found["stage"], found["journal"]
                path.write_text(json.dumps(found))
        if what in ("all", "result.json"):
            shutil.copy(one / "result.json", other / "result.json")
        if what in ("all", "attempts"):
            shutil.rmtree(other / "attempts")
            shutil.copytree(one / "attempts", other / "attempts")
    second = ("--set", "seed=1")
    status = moco("status").all
    assert "damaged" in status or "one is a copy" in status
    found = moco("check", done, "--seeds", "0,1", "--write-baseline", "base.json")
    assert found.code != 0, found.all
    assert not Path("base.json").exists()
    assert moco("check", done, "--seeds", "0,1").code == 6
    if not (older and what == "all"):  # a table of one run sees no other
        assert moco("check", done, *second).code == 6
        assert moco("publish", done, *second).code != 0


def test_a_copy_is_known_also_where_only_one_of_the_two_is_asked_about(
    moco: Callable[..., Said], done: Path
) -> None:
    for kind in ("pretrain", "knn", "linear"):
        theirs, own = stage(kind, 0), stage(kind, 1)
        described = (own / "stage.json").read_bytes()
        shutil.rmtree(own)
        shutil.copytree(theirs, own)
        (own / "stage.json").write_bytes(described)
        path = own / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"stage": own.name}))
    second = (done, "--set", "seed=1")
    assert "one is a copy" in moco("plan", *second).out
    assert moco("check", done, "--seeds", "1").code == 6
    assert "stale" in moco("report", *second, "--out", "out").out
    assert moco("publish", *second, "--to", "published").code == 4
    assert not Path("published").exists()
