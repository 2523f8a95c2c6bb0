from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.export.folder import write

FILES = {"model.bin": b"weights", "README.md": b"card"}


def seen(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_new_folder_and_the_same_again(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert write(folder, FILES)
    assert seen(folder) == FILES
    before = (folder / "model.bin").stat().st_mtime_ns
    assert not write(folder, FILES)
    assert (folder / "model.bin").stat().st_mtime_ns == before


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert write(tmp_path / "made", FILES)
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o700)
    before = empty.stat()
    (tmp_path / "link").symlink_to(empty)
    assert write(tmp_path / "link", FILES)
    assert seen(empty) == FILES
    after = empty.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode), "the user's own"


@pytest.mark.parametrize(
    "there",
    [
        {"notes.txt": b"mine"},
        {**FILES, "notes.txt": b"mine"},
        {**FILES, "model.bin": b"others"},
        {"model.bin": b"weights"},
    ],
    ids=["another file", "one more", "other content", "one less"],
)
def test_what_lies_there_is_never_touched(tmp_path: Path, there: dict[str, bytes]) -> None:
    for name, content in there.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StoreError, match="--to"):
        write(tmp_path, FILES)
    assert seen(tmp_path) == there


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"mine")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "inner"):
        with pytest.raises(StoreError):
            write(folder, FILES)
    assert seen(tmp_path) == {"taken": b"mine"}


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="full"):
        write(tmp_path / "made", FILES)
    assert not list(tmp_path.iterdir())
