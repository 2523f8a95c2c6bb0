"""Files in a folder that a user named are replaced only where a command wrote them before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.errors import RecipeError, StoreError
from harness.replace import refuse_others, refuse_others_in

NAMES = ("page.md", "mark.json")


def ask(folder: Path) -> None:
    refuse_others_in(folder, NAMES, "mark.json", lambda content: content == b"ours")


def test_an_absent_folder_and_one_with_other_files(tmp_path: Path) -> None:
    ask(tmp_path / "new")
    (tmp_path / "other.md").touch()
    ask(tmp_path)


def test_what_the_command_wrote_before(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("it")
    (tmp_path / "mark.json").write_text("ours")
    ask(tmp_path)


@pytest.mark.parametrize("mark", [None, "mine", ""])
def test_what_somebody_else_wrote(tmp_path: Path, mark: str | None) -> None:
    (tmp_path / "page.md").write_text("my thesis")
    if mark is not None:
        (tmp_path / "mark.json").write_text(mark)
    with pytest.raises(RecipeError, match=r"page\.md"):
        ask(tmp_path)


def test_a_link_that_leads_nowhere_is_somebodys_too(tmp_path: Path) -> None:
    (tmp_path / "page.md").symlink_to("elsewhere")
    with pytest.raises(RecipeError, match=r"page\.md"):
        ask(tmp_path)


def test_a_mark_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "mark.json").mkdir()
    with pytest.raises(StoreError, match=r"mark\.json"):
        ask(tmp_path)


def test_a_folder_that_cannot_be_written_is_refused_in_advance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != tmp_path)
    with pytest.raises(StoreError, match="cannot be written"):
        refuse_others(tmp_path / "x.json", "a baseline", lambda _: True)
