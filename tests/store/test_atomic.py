from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.store import atomic


def test_the_new_content_replaces_the_old_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for value in ({"n": 1}, {"n": 2}):
        atomic.write_json(path, value)
        assert atomic.read_json(path) == value
    assert os.listdir(tmp_path) == ["a.json"]  # noqa: PTH208


def test_a_failure_while_filling_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fill(file: BinaryIO) -> None:
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        atomic.write(path, fill)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "your disk quota"),
        (errno.EROFS, "read-only.*another folder"),
        (errno.EIO, "fails"),
        (errno.ESTALE, "fails"),
        (errno.EACCES, "another folder"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_failed_sync_leaves_the_old_and_says_why(
    tmp_path: Path, breaks: Any, number: int, says: str
) -> None:
    path = tmp_path / "a.json"
    atomic.write_json(path, "old")
    breaks("fsync", number)
    with pytest.raises(StoreError, match=says) as caught:
        atomic.write_json(path, "new")
    assert str(path) in str(caught.value)
    assert atomic.read_json(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_that_cannot_sync_folders_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "fsync", refuse)
    atomic.sync_folder(tmp_path)


@pytest.mark.parametrize("inner", ["file/a.json", "file/b/a.json"])
def test_a_file_where_a_folder_is_needed(tmp_path: Path, inner: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="a folder is needed"):
        atomic.write_json(tmp_path / inner, 1)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder"):
        atomic.write_json(tmp_path / "none" / "a.json", 1)


def test_a_full_disk(mount: Any) -> None:
    disk = mount("size=64k")
    atomic.write_json(disk / "a.json", "old")
    with pytest.raises(StoreError, match="the disk is full"):
        atomic.write(disk / "a.json", lambda file: file.write(bytes(200_000)))
    assert atomic.read_json(disk / "a.json") == "old"
    assert [path.name for path in disk.iterdir()] == ["a.json"]
    atomic.write_json(disk / "a.json", "the space is back")


def test_a_read_only_disk(mount: Any) -> None:
    disk = mount("size=64k")
    mount("ro")
    with pytest.raises(StoreError, match=r"a\.json: read-only"):
        atomic.write_json(disk / "a.json", 1)


def test_killed_while_writing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    code = (
        "import sys, time; from pathlib import Path; from harness.store import atomic\n"
        "def fill(file):\n"
        "    file.write(b'half'); file.flush(); print('now', flush=True); time.sleep(60)\n"
        "atomic.write(Path(sys.argv[1]), fill)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    with writer:
        assert writer.stdout.readline() == b"now\n"
        writer.send_signal(signal.SIGKILL)
    assert path.read_text() == "old"
    atomic.write(path, lambda file: file.write(b"new"))
    assert path.read_text() == "new"


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe\x00", b"[" * 100_000, b"nul"])
def test_what_is_not_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.json: not JSON"):
        atomic.read_json(path)


def test_a_folder_is_not_json_and_what_is_absent_is_none(tmp_path: Path) -> None:
    assert atomic.read_json(tmp_path / "none" / "a.json") is None
    with pytest.raises(StoreError, match="a folder"):
        atomic.read_json(tmp_path)


def test_no_number_that_json_does_not_have() -> None:
    with pytest.raises(ValueError, match="JSON"):
        atomic.dump({"loss": float("nan")})


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_written_is_read(value: Any) -> None:
    import json

    assert json.loads(atomic.dump(value)) == value
