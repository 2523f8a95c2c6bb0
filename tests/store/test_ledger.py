from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.store.attempt import begin
from harness.store.layout import StageFolder
from harness.store.ledger import DONE, Entry, FileState, everything, read_entry


def ended(folder: StageFolder, how: str, message: str = "") -> None:
    attempt = begin(folder)
    attempt.end(how, message)


def test_absent(tmp_path: Path, folder: StageFolder) -> None:
    for each in (folder, StageFolder(tmp_path / "none")):
        entry = read_entry(each)
        assert (entry.state, entry.done, entry.result) == ("absent", False, None)


def test_running(folder: StageFolder) -> None:
    attempt = begin(folder)
    entry = read_entry(folder)
    assert (entry.state, entry.done) == ("running", False)
    assert entry.detail.startswith("process ")
    attempt.end("interrupted")


@pytest.mark.parametrize("how", ["interrupted", "superseded"])
def test_interrupted(folder: StageFolder, how: str) -> None:
    ended(folder, how, "stopped on request")
    assert (read_entry(folder).state, read_entry(folder).detail) == (
        "interrupted",
        "stopped on request",
    )


def test_failed_until_the_next_attempt(folder: StageFolder) -> None:
    ended(folder, "failed", "ValueError: seven")
    assert (read_entry(folder).state, read_entry(folder).detail) == ("failed", "ValueError: seven")
    ended(folder, "interrupted")
    assert read_entry(folder).state == "interrupted"


@pytest.mark.parametrize("state", DONE)
def test_done(folder: StageFolder, state: str) -> None:
    attempt = begin(folder)
    result = {"state": state, "step": 8, "values": {"knn/top1": 50.0}, "message": "so it went"}
    attempt.finish(result)
    for _ in range(2):  # before and after its last word
        entry = read_entry(folder)
        assert (entry.state, entry.done, entry.detail) == (state, True, "so it went")
        assert entry.result == result
        attempt.end(state)
    assert (entry.described or {})["kind"] == "pretrain"


@pytest.mark.parametrize("name", ["result.json", "stage.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00", "[" * 50_000])
def test_damaged(folder: StageFolder, name: str, text: str) -> None:
    (folder.path / name).write_text(text)
    entry = read_entry(folder)
    assert (entry.state, entry.done, entry.result) == ("damaged", False, None)
    assert str(folder.path / name) in entry.detail
    assert "move" in entry.detail


@pytest.mark.parametrize(
    ("result", "name"),
    [
        ({}, None),
        ({"data": {"name": "runs"}, "images": 7}, "runs"),
        ({"data": {"name": "runs"}, "masks": {"name": "own"}}, "own"),
        ({"data": {"name": "runs"}, "boxes": {"name": "own"}}, "own"),
        ({"data": {"name": "runs"}, "images": {"name": "own"}}, "own"),
    ],
)
def test_a_tasks_own_data_come_before_the_runs(
    folder: StageFolder, result: dict[str, Any], name: str | None
) -> None:
    assert Entry(folder, "finished", result=result).data.get("name") == name
    assert Entry(folder, "absent").data == {}


def test_a_state_that_no_version_knows_is_damaged(folder: StageFolder) -> None:
    (folder.path / "result.json").write_text('{"state": ["finished"]}')
    assert read_entry(folder).state == "damaged"
    assert "result.json" in read_entry(folder).detail


KEYS = st.sampled_from(["state", "how", "message", "pid", "host", "boot", "born", "values"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["stage.json", "result.json", "attempts/0001/alive.json", "attempts/0001/ended.json"]
        ),
        JSON.map(lambda value: json.dumps(value)) | st.sampled_from(["", "{"]),
    )
)
def test_no_content_is_an_error(files: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = StageFolder(Path(root))
        (folder.path / "attempts" / "0001").mkdir(parents=True)
        for name, text in files.items():
            (folder.path / name).write_text(text)
        assert read_entry(folder).state in get_args(FileState)


def test_strange_folders_are_no_error(folder: StageFolder) -> None:
    (folder.path / "attempts").rmdir()
    (folder.path / "attempts").touch()
    assert read_entry(folder).state == "absent"
    (folder.path / "result.json").mkdir()
    assert read_entry(folder).state == "damaged"


def test_everything_is_every_stage_and_nothing_else(tmp_path: Path) -> None:
    assert list(everything(tmp_path / "none")) == []
    runs = tmp_path / "runs"
    for name in ("b", "a", "c"):
        StageFolder(runs / name).create({"id": name})
    (runs / "c" / "stage.json").write_text("{")
    (runs / "reports").mkdir()
    (runs / "notes.txt").touch()
    found: Any = [(entry.folder.id, entry.state) for entry in everything(runs)]
    assert found == [("a", "absent"), ("b", "absent"), ("c", "damaged")]


def test_a_file_is_no_run_root(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(StoreError, match="a folder is needed"):
        list(everything(tmp_path / "runs"))
