"""The walk over image folders: what it takes, in what order; what it passes over and refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import DataError
from harness.imagefolder import (
    EMPTY,
    HIDDEN,
    IRREGULAR,
    LINKED,
    LOOSE,
    SUFFIX,
    WHOLE,
    Kind,
    listed_to_leave_out,
    shown,
    walk,
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """cat/{1.jpg,2.JPEG} and dog/deep/3.png; the walk looks at names alone."""
    for n, name in enumerate(("cat/1.jpg", "cat/2.JPEG", "dog/deep/3.png")):
        put(tmp_path / "images" / name, n + 1)
    return tmp_path / "images"


def put(path: Path, size: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def names(path: Path) -> list[str]:
    return [image.name for found in walk(path).classes.values() for image in found]


PLAIN = ["cat/1.jpg", "cat/2.JPEG", "dog/deep/3.png"]


def test_classes_files_and_sizes_in_order(images: Path) -> None:
    found = walk(images)
    assert list(found.classes) == ["cat", "dog"]
    assert [image.size for images in found.classes.values() for image in images] == [1, 2, 3]
    assert names(images) == PLAIN
    assert not found.passed_over.counts
    assert str(found.passed_over) == ""
    assert set(found.folders) == {".", "cat", "dog", "dog/deep"}
    assert found.folders["dog/deep"] == (images / "dog" / "deep").stat().st_mtime_ns


def test_the_digest_follows_names_and_sizes(images: Path) -> None:
    before = walk(images).digest
    os.utime(images / "cat" / "1.jpg", (1, 1))
    assert walk(images).digest == before
    put(images / "cat" / "1.jpg", 9)
    grown = walk(images).digest
    (images / "cat" / "1.jpg").rename(images / "cat" / "0.jpg")
    assert len({before, grown, walk(images).digest}) == 3


def test_deeper_names_are_sorted_part_by_part(images: Path) -> None:
    for name in ("a.jpg", "a/z.jpg", "a-b.jpg", "B.jpg", "a/y/x.jpg"):
        put(images / "dog" / name)
    assert names(images)[2:] == [
        "dog/B.jpg", "dog/a/y/x.jpg", "dog/a/z.jpg", "dog/a-b.jpg", "dog/a.jpg", "dog/deep/3.png",
    ]  # fmt: skip


def links(to: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(to)


PASSED_OVER: list[tuple[str, Callable[[Path], object], str]] = [
    ("cat/.ipynb_checkpoints/1.jpg", put, HIDDEN),
    ("dog/deep/.cache/thumbs/1.jpg", put, HIDDEN),
    ("cat/.1.jpg", put, HIDDEN),
    (".git/cat/1.jpg", put, HIDDEN),
    (".cat.jpg", put, HIDDEN),
    ("cat/.gone.jpg", links("nowhere"), HIDDEN),
    ("cat/notes.txt", put, SUFFIX),
    ("cat/4.gif", put, SUFFIX),
    ("cat/gone.txt", links("nowhere"), SUFFIX),
    ("readme.md", put, SUFFIX),
    ("1.jpg", put, LOOSE),
    ("cow/readme.txt", put, EMPTY),
    ("cow", Path.mkdir, EMPTY),
    ("cat/p.jpg", os.mkfifo, IRREGULAR),
    ("cat/null.jpg", links("/dev/null"), IRREGULAR),
    ("cat/same", links("."), LINKED),
    ("cat/above", links(".."), LINKED),
    ("all", links("."), LINKED),
    ("cat/root", links("/"), LINKED),
    ("dog/twice", links("deep"), LINKED),
]


NAMES = [name for name, *_ in PASSED_OVER]


@pytest.mark.parametrize(("name", "make", "kind"), PASSED_OVER, ids=NAMES)
def test_what_is_passed_over_is_counted(
    images: Path, name: str, make: Callable[[Path], object], kind: str
) -> None:
    (images / name).parent.mkdir(parents=True, exist_ok=True)
    make(images / name)
    found = walk(images)
    assert names(images) == PLAIN
    assert found.passed_over.counts[kind] == 1
    assert found.passed_over.first[kind].split("/")[0] in str(found.passed_over)


def test_links_to_files_and_folders_are_followed(images: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "deep" / "7.jpg", 5)
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to("..")
    (images / "cat" / "4.jpg").symlink_to(tmp_path / "elsewhere" / "deep" / "7.jpg")
    (images / "cow").symlink_to(tmp_path / "elsewhere")
    (images / "dog" / "more").symlink_to(tmp_path / "elsewhere")
    found = walk(images)
    assert [image.name for image in found.classes["cow"]] == ["cow/deep/7.jpg"]
    assert [image.name for image in found.classes["dog"]][1:] == ["dog/more/deep/7.jpg"]
    assert found.classes["cat"][-1] == ("cat/4.jpg", 5)
    assert found.passed_over.counts == {LINKED: 2}


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("cat/gone.jpg", "nowhere.jpg"),
        ("dog/deep/gone.png", "/unmounted/3.png"),
        ("cat/self.jpg", "self.jpg"),
        ("cat/more", "/unmounted/cat"),
        ("cow", "/unmounted/cow"),
    ],
)
def test_a_link_that_leads_nowhere_is_an_error_with_its_path(
    images: Path, name: str, to: str
) -> None:
    (images / name).symlink_to(to)
    with pytest.raises(DataError, match=f"{images / name}: "):
        walk(images)


def test_a_class_that_is_a_link_to_another_counts_once(images: Path, tmp_path: Path) -> None:
    classes = {*walk(images).classes}
    first = min(classes)
    (images / "0 first").symlink_to(images / first)
    (images / "one").symlink_to(tmp_path / "away")
    (images / "two").symlink_to(tmp_path / "away")
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "a.jpg").write_bytes(b"a")
    found = walk(images)
    assert list(found.classes) == sorted({*classes, "one"})
    assert found.passed_over.counts["linked twice"] == 2


WALK = """\
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from harness.errors import DataError
from harness.imagefolder import walk
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(4242)
    os.setuid(4242)
try:
    walk(Path(sys.argv[2]))
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["cat", "dog/deep", "cat/1.jpg", "."])
@pytest.mark.parametrize("mode", [0o000, 0o600, 0o700])
def test_what_another_user_closed_is_an_error_with_its_path(
    shared: Path, name: str, mode: int
) -> None:
    said = as_another_user(shared, name, mode)
    assert f"{shared / name}: cannot be read: permission denied, " in said
    assert "belongs to " in said


@pytest.fixture
def shared(images: Path) -> Iterator[Path]:
    """The same images where other users can go; pytest closes its own folder."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(shutil.copytree(images, Path(place) / "images"))


def as_another_user(images: Path, closed: str, mode: int) -> str:
    """What the walk says to whom a folder or file is closed."""
    if os.geteuid() and mode:
        pytest.skip("only root can be another user")
    (images / closed).chmod(mode)
    code = Path(__file__).parent.parent
    command = [sys.executable, "-c", WALK, str(code), str(images)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (images / closed).chmod(0o755)
    assert done.returncode == 0, done.stderr
    return done.stdout  # only that: under coverage, Python complains of data it may not write


def test_a_folder_that_lets_list_but_not_look(shared: Path) -> None:
    """Whatever its first name is, a closed folder is an error and no traceback."""
    if os.geteuid():
        pytest.skip("only root can be another user")
    put(shared / "cat" / "0.txt")
    said = as_another_user(shared, "cat", 0o744)
    assert said.startswith(f"{shared}/cat/0.txt: cannot be read: permission denied, {shared}/cat ")
    assert said.count("\n") == 1


def test_a_folder_without_classes_says_what_was_there(tmp_path: Path) -> None:
    put(tmp_path / "1.jpg")
    with pytest.raises(DataError, match=r"no images .*1 outside a class folder \(1.jpg\)"):
        walk(tmp_path)
    with pytest.raises(DataError, match=r"absent.*train/<class>/<image>"):
        walk(tmp_path / "absent")
    with pytest.raises(DataError, match=r"1\.jpg: a file"):
        walk(tmp_path / "1.jpg")


def test_odd_names_are_walked_and_shown_on_one_line(images: Path) -> None:
    odd = os.fsencode(images / "cat") + b"/\xff\n\x1b.jpg"
    put(Path(os.fsdecode(odd)))
    assert "cat/\udcff\n\x1b.jpg" in names(images)
    assert shown(os.fsdecode(odd)) == f"{images}/cat/\\xff\\n\\x1b.jpg"
    assert shown("/data/Köln 東京/1.jpg") == "/data/Köln 東京/1.jpg"
    assert walk(images).digest


def test_a_line_of_the_list_is_a_comment_unless_it_names_an_image(tmp_path: Path) -> None:
    (tmp_path / "broken.txt").write_text("# by hand\n#seen\n\n#1.jpg\n#recycle/2.jpg\n3.jpg\n")
    assert listed_to_leave_out(tmp_path) == ["3.jpg"]
    put(tmp_path / "#1.jpg")
    put(tmp_path / "#recycle" / "2.jpg")
    assert listed_to_leave_out(tmp_path) == ["#1.jpg", "#recycle/2.jpg", "3.jpg"]


def test_pictures_are_taken_at_any_depth_and_once(images: Path) -> None:
    put(images / "0.jpg", 9)
    put(images / "notes.txt")
    put(images / "broken.txt")
    put(images / "sub" / "broken.txt")
    (images / "again").symlink_to(images / "cat")
    (images / "cat" / "above").symlink_to(images)
    found = walk(images, {"cat/1.jpg", "gone.jpg"}, kind="pictures")
    ((name, pictures),) = found.classes.items()
    assert name == WHOLE
    assert [image.name for image in pictures] == ["0.jpg", "cat/2.JPEG", "dog/deep/3.png"]
    assert (found.left_out, found.unmet) == (("cat/1.jpg",), ("gone.jpg",))
    assert found.passed_over.counts == {SUFFIX: 2, LINKED: 2}
    assert set(found.folders) == {".", "cat", "dog", "dog/deep", "sub"}
    spared = walk(images, spared=lambda _: True, kind="pictures")
    assert spared.classes == {}


@pytest.mark.parametrize("kind", ["classes", "pictures"])
def test_a_whole_folder_without_images_is_refused(tmp_path: Path, kind: Kind) -> None:
    put(tmp_path / "empty" / "deep" / "notes.txt")
    for folder in ("empty", "absent"):
        with pytest.raises(DataError, match=folder):
            walk(tmp_path / folder, kind=kind)
