"""What was checked and has not changed is not read again; what has changed is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from store.test_validity import finish, one_loss

from harness.errors import DiskError
from harness.store import atomic, ledger, validity, validity_cache
from harness.store.layout import StageFolder
from harness.store.ledger import everything, read_entry


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages whose journals are read from now on; files count as settled at once."""
    found: list[str] = []

    def counted(folder: StageFolder, *rest: Any) -> str:
        found.append(folder.id)
        return validity.why_invalid(folder, *rest)

    monkeypatch.setattr(validity_cache, "why_invalid", counted)
    monkeypatch.setattr(validity_cache, "SETTLED_S", 0.0)
    return found


def forget() -> None:
    """As another process would begin."""
    validity_cache._OF.clear()


def test_a_journal_is_read_once(folder: StageFolder, reads: list[str]) -> None:
    finish(folder)
    for _ in range(2):
        forget()
        assert read_entry(folder).state == "finished"
        assert [entry.state for entry in everything(folder.path.parent)] == ["finished"]
    assert reads == [folder.id]


@pytest.mark.parametrize("edit", ["journal", "its times kept", "result", "attempt", "moved"])
@pytest.mark.usefixtures("reads")
def test_what_has_changed_is_read_again(folder: StageFolder, edit: str) -> None:
    path = finish(folder)
    seen: dict[str, tuple[str, ledger.Entry]] = {}
    assert read_entry(folder).state == "finished"
    assert [e.state for e in everything(folder.path.parent, seen)] == ["finished"]
    if edit in ("journal", "its times kept"):
        before = path.stat()
        content = path.read_text().replace('"segment/miou":0.3', '"segment/miou":0.4', 1)
        assert len(content) == before.st_size
        path.write_text(content)
        if edit == "its times kept":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif edit == "result":
        result = json.loads((folder.path / "result.json").read_text())
        result["values"]["finetune/top1"] = 91.2
        (folder.path / "result.json").write_text(json.dumps(result))
    elif edit == "attempt":
        (folder.path / "attempts/0002").mkdir()
        (folder.path / "attempts/0002/metrics.jsonl").write_text('{"step":1}\n')
    else:  # another stage's folder under this name
        other = StageFolder(folder.path.with_name("tiny-s1.pretrain-0123456789"))
        other.create({"id": other.id})
        finish(other)
        folder.path.rename(folder.path.with_name("away"))
        other.path.rename(folder.path)
    for fresh in (False, True):
        if fresh:
            forget()
        assert read_entry(folder).state == "damaged"
        states = {e.folder.id: e.state for e in everything(folder.path.parent, seen)}
        assert states[folder.id] == "damaged"


def test_what_was_written_just_now_is_not_trusted_yet(
    folder: StageFolder, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validity_cache, "SETTLED_S", 3600.0)
    finish(folder)
    for _ in range(2):
        assert read_entry(folder).state == "finished"
    assert len(reads) == 2
    assert not (folder.path.parent / validity_cache.FILE).exists()


@pytest.mark.parametrize("text", ["", "\x00", "a\tb\n", "a\tb\tc\td\n", "x" * 5000])
def test_a_damaged_or_missing_memory_costs_time_alone(
    folder: StageFolder, reads: list[str], text: str
) -> None:
    finish(folder)
    memory = folder.path.parent / validity_cache.FILE
    assert read_entry(folder).state == "finished"
    memory.unlink()
    if text:
        memory.write_text(text)
    forget()
    assert read_entry(folder).state == "finished"
    assert len(reads) == 2


@pytest.mark.usefixtures("reads")
def test_nothing_is_written_beside_published_records_or_through_a_link(
    folder: StageFolder, tmp_path: Path
) -> None:
    finish(folder)
    memory = folder.path.parent / validity_cache.FILE
    memory.symlink_to(tmp_path / "elsewhere")
    assert read_entry(folder).state == "finished"
    assert not (tmp_path / "elsewhere").exists()
    memory.unlink()
    forget()
    (folder.path.parent / validity_cache.PUBLISHED).write_text("{}")
    assert read_entry(folder).state == "finished"
    assert not memory.exists()


def test_a_memory_that_cannot_be_written_is_no_error(folder: StageFolder, reads: list[str]) -> None:
    finish(folder)
    (folder.path.parent / validity_cache.FILE).mkdir()
    for _ in range(2):
        assert read_entry(folder).state == "finished"
    assert len(reads) == 1, "this process remembers"


@pytest.mark.usefixtures("reads")
def test_a_memory_that_grew_by_repetition_is_written_anew(folder: StageFolder) -> None:
    path = finish(folder)
    memory = folder.path.parent / validity_cache.FILE
    memory.write_text("old-s0.knn-1\t0001\tabc\n" * 1100)
    assert read_entry(folder).state == "finished"
    assert len(memory.read_text().splitlines()) == 2
    forget()
    one_loss(path)
    assert read_entry(folder).state == "damaged"


@pytest.mark.usefixtures("reads")
def test_a_memory_that_cannot_be_written_anew_is_no_error(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(folder)
    (folder.path.parent / validity_cache.FILE).write_text("old-s0.knn-1\t0001\tabc\n" * 1100)

    def full(*_: object) -> None:
        raise DiskError("the disk is full")

    monkeypatch.setattr(atomic, "write", full)
    assert read_entry(folder).state == "finished"


def test_lines_that_were_cut_spoil_no_others(folder: StageFolder, reads: list[str]) -> None:
    finish(folder)
    assert read_entry(folder).state == "finished"
    memory = folder.path.parent / validity_cache.FILE
    whole = memory.read_bytes()
    memory.write_bytes(b"a-s0.knn-1\t00\n\xff\n" + whole)
    for _ in range(2):
        forget()
        assert read_entry(folder).state == "finished"
    assert len(reads) == 1
    assert memory.read_bytes().endswith(whole)


@pytest.mark.usefixtures("reads")
def test_what_is_too_long_for_one_look_is_taken_at_its_word_and_told(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look gets on, though each journal be larger than what one look reads."""
    monkeypatch.setattr(ledger, "AT_MOST", 10)
    finish(folder)
    last = StageFolder(folder.path.with_name("tiny-s1.pretrain-0123456789"))
    last.create({"id": last.id})
    one_loss(finish(last))
    unread: list[str] = []
    first = [e.state for e in everything(folder.path.parent, unread=unread)]
    assert (first, unread) == (["finished", "finished"], [last.id])
    assert read_entry(last).state == "damaged", "who asks for one stage waits for it"
    unread = []
    second = [e.state for e in everything(folder.path.parent, unread=unread)]
    assert (second, unread) == (["finished", "damaged"], [])
