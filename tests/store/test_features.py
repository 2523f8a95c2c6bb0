"""Files of features: whole and of the right thing, or not used; never more than they may take."""

from __future__ import annotations

import array
import os
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import DiskError, StoreError
from harness.store import features
from harness.store.features import Damaged, files

from .conftest import Break

NUMBERS = memoryview(array.array("f", [1.5, -2.25, 3.0, 0.0, -0.0, 1e-30])).cast("B")


def read(runs: Path, key: str = "aa", rows: int = 3) -> bytes | None:
    space = bytearray()

    def memory(n: int, width: int) -> memoryview:
        space.extend(bytes(4 * n * width))
        return memoryview(space)

    found = features.read(runs, key, rows, memory)
    assert found in (None, (3, 2))
    return bytes(space) if found else None


def write(runs: Path, key: str = "aa", numbers: memoryview = NUMBERS) -> Path:
    before = set(files(runs))
    features.write(runs, key, (3, len(numbers) // 12), numbers, {"layer": "backbone"})
    return next(iter(set(files(runs)) - before), files(runs)[0])


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    write(tmp_path)
    assert read(tmp_path) == bytes(NUMBERS)
    assert read(tmp_path, "bb") is None
    assert [path.suffix for path in (tmp_path / ".features").iterdir()] == [".f32"]


def cut(path: Path, content: bytes) -> None:
    path.write_bytes(content[:-1])


def longer(path: Path, content: bytes) -> None:
    path.write_bytes(content + b"\0")


def flipped(path: Path, content: bytes) -> None:
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def empty(path: Path, content: bytes) -> None:
    assert content
    path.write_bytes(b"")


def foreign(path: Path, content: bytes) -> None:
    path.write_bytes(content.replace(b'"key":"aa"', b'"key":"ab"'))


def other_shape(path: Path, content: bytes) -> None:
    path.write_bytes(content.replace(b'"shape":[3,2]', b'"shape":[2,3]'))


def no_text(path: Path, content: bytes) -> None:
    path.write_bytes(os.urandom(len(content)).replace(b"\n", b" "))


def a_folder(path: Path, content: bytes) -> None:
    assert content
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "harm", [cut, longer, flipped, empty, foreign, other_shape, no_text, a_folder]
)
def test_a_file_that_is_not_whole_is_not_used(
    tmp_path: Path, harm: Callable[[Path, bytes], None]
) -> None:
    path = write(tmp_path)
    harm(path, path.read_bytes())
    with pytest.raises(Damaged, match=path.name):
        read(tmp_path)
    if path.is_file():
        write(tmp_path)
        assert read(tmp_path) == bytes(NUMBERS), "it is replaced"


def test_features_of_another_number_of_images_are_not_used(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(Damaged):
        read(tmp_path, rows=2)


def test_a_file_of_another_key_under_this_name_is_not_used(tmp_path: Path) -> None:
    one, other = write(tmp_path), write(tmp_path, "bb")
    other.replace(one)
    with pytest.raises(Damaged):
        read(tmp_path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, breaks: Break, call: str) -> None:
    breaks(call)
    with pytest.raises(DiskError):
        features.write(tmp_path, "aa", (3, 2), NUMBERS, {})
    assert list((tmp_path / ".features").iterdir()) == []


def test_they_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(free=2 * len(NUMBERS) - 1)
    monkeypatch.setattr(features.shutil, "disk_usage", lambda _: free)
    with pytest.raises(DiskError):
        features.write(tmp_path, "aa", (3, 2), NUMBERS, {})
    free.free += 1
    write(tmp_path)


def test_their_folder_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".features").symlink_to("elsewhere")
    with pytest.raises(StoreError, match="a link"):
        features.write(tmp_path, "aa", (3, 2), NUMBERS, {})
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "elsewhere" / "mine.f32").write_text("")
    assert files(tmp_path) == []


def test_those_not_read_for_longest_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {key: write(tmp_path, key) for key in ("aa", "bb", "cc")}
    for age, path in enumerate(paths.values()):
        os.utime(path, (age, age))
    read(tmp_path, "aa")
    size = paths["aa"].stat().st_size
    monkeypatch.setattr(features, "MOST", 3 * size)

    def there(keys: Collection[str]) -> bool:
        return {key for key in ("aa", "bb", "cc", "dd") if read(tmp_path, key)} == set(keys)

    write(tmp_path, "dd")
    assert there({"aa", "cc", "dd"})
    monkeypatch.setattr(features, "MOST", len(NUMBERS) - 1)
    with pytest.raises(StoreError, match="more than"):
        features.write(tmp_path, "ee", (3, 2), NUMBERS, {})
    assert there({"aa", "cc", "dd"}), "nothing makes room for what cannot fit"
