"""What another user has closed, what has no home, and what is a link: told in a line, never read as
something else."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.cli.options import machine
from harness.store.attempt import begin
from harness.store.layout import StageFolder
from harness.store.ledger import everything, read_entry
from harness.store.version import STAGE

OTHER = 4242
_FILES = 0b1111
"""The capabilities by which root opens every file: chown, dac_override, dac_read_search, fowner."""


def _capabilities(call: int, data: Any) -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(call, header, data):
        pytest.skip("capabilities cannot be changed here")


@pytest.fixture
def powerless() -> Iterator[None]:
    """This thread is held to permissions, also where the tests run as root."""
    data = (ctypes.c_uint32 * 6)()
    numbers = {"x86_64": (125, 126), "aarch64": (90, 91)}.get(os.uname().machine)
    if numbers is None:
        pytest.skip("no number of capset is known here")
    _capabilities(numbers[0], data)
    before = data[0]
    data[0] = before & ~_FILES
    _capabilities(numbers[1], data)
    yield
    data[0] = before
    _capabilities(numbers[1], data)


def closed(path: Path) -> Path:
    """Closed to this user: another one's, where we may give it away."""
    path.chmod(0)
    if os.geteuid() == 0:
        os.chown(path, OTHER, OTHER)
    return path


@pytest.fixture
def stage(moco: Any, tiny: Path) -> Path:
    """A finished kNN stage."""
    assert moco("run", tiny, "--set", "linear=null").code == 0
    (found,) = Path("runs").glob("tiny-s0.knn-*")
    return found


def words(command: str) -> list[str]:
    only = ["--set", "linear=null"]
    return {
        "plan": ["plan", "tiny.yaml", *only],
        "run": ["run", "tiny.yaml", *only],
        "report": ["report", "tiny.yaml", *only],
        "publish": ["publish", "tiny.yaml", *only, "--to", "published"],
        "logs": ["logs", "knn"],
        "check": ["check", "tiny.yaml", *only, "--set", "about.targets=[{metric: knn/top1, "
                  "value: 0, tolerance: 0, minimum: true, source: me}]"],
    }.get(command, [command])  # fmt: skip


CODES = {
    "status": 0, "plan": 4, "run": 4, "report": 0, "publish": 4, "check": 6, "gc": 0, "logs": 4,
}  # fmt: skip


def test_a_closed_stage_is_not_damaged(moco: Any, stage: Path, request: Any) -> None:
    closed(stage)
    request.getfixturevalue("powerless")
    for command, code in CODES.items():
        said = moco(*words(command))
        assert (command, said.code) == (command, code), said.all
        assert "damaged" not in said.all, command
        assert "cannot be read" in said.all, command
        owner = f"uid {os.stat(stage).st_uid}"  # noqa: PTH116
        assert owner in said.all, command
    assert read_entry(StageFolder(stage)).state == "unreadable"
    assert moco("cancel", stage.name, "--yes").code == 1


@pytest.mark.parametrize(
    "part",
    ["stage.json", "result.json", "attempts", "attempts/0001", "attempts/0001/metrics.jsonl"],
)
def test_a_closed_part_of_a_stage_is_not_damaged(part: str, tmp_path: Path, request: Any) -> None:
    folder = StageFolder(tmp_path / "tiny-s0.knn-0123456789")
    folder.create({"schema": STAGE, "id": folder.id})
    attempt = begin(folder)
    attempt.record([{"step": 1, "knn/top1": 50.0}])
    attempt.finish(
        {"state": "finished", "step": 1, "values": {"knn/top1": 50.0}, "message": ""}
        | attempt.seal()
    )
    attempt.end("finished")
    closed(folder.path / part)
    request.getfixturevalue("powerless")
    for entry in (read_entry(folder), *everything(tmp_path)):
        assert entry.state == "unreadable", entry.detail
        assert part in entry.detail


@pytest.mark.usefixtures("tiny")
def test_a_closed_run_root_and_its_parent(moco: Any, request: Any) -> None:
    inner = Path("outer/runs")
    inner.mkdir(parents=True)
    closed(Path("outer"))
    request.getfixturevalue("powerless")
    for command in CODES:
        said = moco(*words(command), "--runs", inner)
        assert said.code == 4, said.all
        assert "outer belongs to " in said.err, command


@pytest.mark.parametrize(
    "words",
    [
        ("check", "tiny.yaml", "--json", "shut/a.json"),
        ("check", "tiny.yaml", "--junit", "shut/a.xml"),
        ("check", "tiny.yaml", "--write-baseline", "shut/a.yaml"),
        ("recipes", "schema", "--out", "shut/a.json"),
        ("report", "--compare", "shut", "runs"),
        ("report", "--compare", "shut/a.json", "runs"),
        ("recipes", "list", "shut"),
    ],
)
@pytest.mark.usefixtures("tiny")
def test_a_closed_place_of_a_commands_own_file(
    moco: Any, words: Any, request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("shut").mkdir()
    closed(Path("shut"))
    request.getfixturevalue("powerless")
    # it asks for the user, who may be root, and not for this thread
    monkeypatch.setattr(os, "access", lambda path, *_, **__: "shut" not in str(path))
    said = moco(*words)
    assert said.code == 4, said.all
    assert "shut" in said.err
    assert "cannot be read: permission denied, " in said.err
    assert "belongs to " in said.err


@pytest.mark.usefixtures("tiny")
def test_a_closed_config_folder_is_no_site_file(
    moco: Any, request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Path("config").absolute()
    (config / "moco-harness").mkdir(parents=True)
    (config / "moco-harness/site.yaml").write_text("device: cpu\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    closed(config)
    request.getfixturevalue("powerless")
    for command in ("status", "plan"):
        said = moco(*words(command))
        assert said.code == 0
        assert "note: site file not used: " in said.err
        assert f"{config} belongs to " in said.err
    assert "site file not used" in moco("doctor").out


def test_closed_data(moco: Any, tiny: Path, request: Any) -> None:
    Path("data").mkdir()
    closed(Path("data"))
    request.getfixturevalue("powerless")
    for name in ("cifar10", "imagefolder"):
        sets = [f"data.name={name}", *(["data.folder=pets"] if name == "imagefolder" else [])]
        said = moco("plan", tiny, "--data", "data", *(w for s in sets for w in ("--set", s)))
        assert said.code == 3, said.all
        assert "cannot be read: permission denied, data belongs to " in said.out


def test_without_a_home(moco: Any, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> Any:
        raise KeyError("no such uid")

    users = ("USER", "LOGNAME", "LNAME", "USERNAME")
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", *users):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert str(os.getuid()) in str(machine().data)
    for command in ("status", "plan", "gc", "sync", "doctor"):
        assert moco(*words(command)).code == 0, command
    assert moco("run", tiny, "--set", "linear=null", "--set", "optim.epochs=1").code == 0


# ---- links


@pytest.mark.parametrize(
    "inside", ["", "stage.json", "result.json", "attempts", "checkpoints", "attempts/0001",
               "attempts/0001/metrics.jsonl"],
)  # fmt: skip
def test_a_link_in_place_of_a_run(moco: Any, stage: Path, tmp_path: Path, inside: str) -> None:
    place = stage / inside if inside else stage
    there = tmp_path / "elsewhere"
    place.rename(there)
    place.symlink_to(there)
    before = sorted((path, path.lstat().st_mtime_ns) for path in there.rglob("*"))
    for command in ("run", "publish"):
        said = moco(*words(command))
        assert said.code == 4, command
        assert f": a link to {there}" in said.err, command
        assert str(place.relative_to("runs")) in said.err, command
    assert f"{place}: a link to" in moco("gc", "--yes").out
    assert "a link to" in moco(*words("plan")).out
    assert sorted((path, path.lstat().st_mtime_ns) for path in there.rglob("*")) == before


def test_an_empty_folder_elsewhere_stays_empty(moco: Any, tiny: Path, tmp_path: Path) -> None:
    plan = moco("run", tiny, "--set", "linear=null", "--runs", "other")
    assert plan.code == 0
    there = tmp_path / "elsewhere"
    there.mkdir()
    Path("runs").mkdir()
    for stage in Path("other").glob("tiny-*"):
        (Path("runs") / stage.name).symlink_to(there)
    said = moco("run", tiny, "--set", "linear=null")
    assert said.code == 4
    assert not list(there.iterdir())


def test_a_report_is_not_written_through_a_link_in_the_run_root(moco: Any, stage: Path) -> None:
    assert stage.is_dir()
    shutil.rmtree("runs/reports")
    Path("elsewhere").mkdir()
    Path("runs/reports").symlink_to(Path("elsewhere").absolute())
    said = moco("report", "tiny.yaml", "--set", "linear=null")
    assert said.code == 4
    assert str(Path("runs/reports")) in said.err
    assert not any(Path("elsewhere").iterdir())


@pytest.mark.parametrize("words", [["status"], ["plan", "quickstart"], ["data", "check", "/"]])
def test_in_a_working_folder_that_was_removed(
    moco: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = moco(*words)
    monkeypatch.chdir(tmp_path)
    assert said.code == 4
    assert "(cd ~)" in said.err
