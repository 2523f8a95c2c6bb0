from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StoreError
from harness.store import atomic, features, garbage
from harness.store.garbage import DAY_S, Garbage
from harness.store.layout import StageFolder
from harness.store.liveness import identity


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def checkpoint(folder: StageFolder, step: int, content: bytes | None = None) -> Path:
    content = content if content is not None else f"weights of {step}".encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    path = folder.checkpoints / f"step-{step:08d}-{digest}.pt"
    path.write_bytes(content)
    return path


def stage(
    runs: Path, name: str = "a", kind: str = "pretrain", *, state: str = "finished"
) -> StageFolder:
    """A stage with checkpoints of steps 10, 20 and 30; `state` "": it was interrupted."""
    made = StageFolder(runs / f"{name}-s0.{kind}-0123456789")
    made.create({"schema": 1, "id": made.id, "kind": kind, "parent": None, "recipe": {}})
    attempt = made.path / "attempts" / "0001"
    attempt.mkdir()
    atomic.write_json(attempt / "ended.json", {"how": state or "interrupted"})
    *_, last = [checkpoint(made, step) for step in (10, 20, 30)]
    if state:
        weights = last.stem.rpartition("-")[2] if kind == "pretrain" else "0" * 12
        result = {"state": state, "step": 30, "values": {}, "message": "", "weights": weights}
        atomic.write_json(made.path / "result.json", result)
    return made


def found(runs: Path, held: Iterable[str] = (), used: Iterable[str] = ()) -> list[Garbage]:
    return list(garbage.find(runs, set(held), set(used)))


def steps(folder: StageFolder) -> list[int]:
    return [step for step, _, _ in garbage.saved(folder)]


def everything_else(folder: StageFolder) -> dict[str, bytes]:
    files = (path for path in folder.path.rglob("*") if path.is_file())
    return {str(p): p.read_bytes() for p in files if p.parent.name != "checkpoints"}


@pytest.mark.parametrize(
    ("kind", "state"),
    [("pretrain", "finished"), ("linear", "finished"), ("pretrain", "diverged")],
)
def test_a_done_stage_keeps_its_last_checkpoint_and_every_record(
    runs: Path, kind: str, state: str
) -> None:
    made = stage(runs, kind=kind, state=state)
    records = everything_else(made)
    (one,) = found(runs)
    assert (one.kind, one.place, len(one.paths)) == ("checkpoints", made.path, 2)
    assert one.size == 2 * len(b"weights of 10")
    assert steps(made) == [30, 20, 10], "finding deletes nothing"
    garbage.remove(one)
    assert steps(made) == [30]
    assert everything_else(made) == records
    assert found(runs) == []
    garbage.remove(one)  # gone already


def test_features_are_counted_and_removed(runs: Path) -> None:
    stage(runs, state="")
    for key in ("aa", "bb"):
        features.write(runs, key, (1, 1), memoryview(bytes(4)), {})
    draft(runs / ".features" / ".aa.f32.0123abcd.tmp")
    one, old = found(runs)
    assert (one.kind, one.place, len(one.paths)) == ("features", runs / ".features", 2)
    assert one.size == sum(path.stat().st_size for path in features.files(runs))
    assert old.kind == "draft"
    garbage.remove(one)
    assert features.files(runs) == []
    garbage.remove(one)  # gone already


def test_nothing_of_a_stage_that_is_not_done(runs: Path) -> None:
    stage(runs, state="")
    assert found(runs) == []


def test_nothing_of_a_stage_that_a_job_has(runs: Path) -> None:
    made = stage(runs)
    draft(made.checkpoints / ".step-00000040-0123456789ab.pt.0123abcd.tmp")
    assert found(runs, held=[made.id]) == []
    assert {one.kind for one in found(runs)} == {"checkpoints", "draft"}


def test_nothing_of_a_stage_that_a_process_lives(runs: Path) -> None:
    """Its result is written before it ends."""
    made = stage(runs)
    draft(made.checkpoints / ".step-00000040-0123456789ab.pt.0123abcd.tmp")
    (made.path / "attempts/0001/ended.json").unlink()
    atomic.write_json(made.path / "attempts/0001/alive.json", identity())
    assert found(runs) == []


@pytest.mark.parametrize("change", [{"weights": "0" * 12}, {"step": 40}, {"weights": None}])
def test_nothing_if_the_last_is_not_what_the_probes_read(
    runs: Path, change: dict[str, object]
) -> None:
    made = stage(runs)
    result = json.loads((made.path / "result.json").read_text())
    atomic.write_json(made.path / "result.json", result | change)
    assert found(runs) == []


def test_nothing_if_the_last_is_damaged(runs: Path) -> None:
    made = stage(runs)
    (one,) = found(runs)
    assert one.whole is not None
    one.whole.write_bytes(b"other")
    with pytest.raises(StoreError, match="damaged"):
        garbage.remove(one)
    assert steps(made) == [30, 20, 10]


def test_nothing_of_a_damaged_stage(runs: Path) -> None:
    made = stage(runs)
    (made.path / "result.json").write_text("{")
    assert found(runs) == []
    assert steps(made) == [30, 20, 10]


def test_a_result_set_aside_loses_its_checkpoints_and_keeps_its_records(runs: Path) -> None:
    aside = StageFolder(stage(runs).set_aside())
    records = everything_else(aside)
    (one,) = found(runs)
    assert (one.kind, one.place) == ("set aside", aside.path)
    garbage.remove(one)
    assert steps(aside) == []
    assert everything_else(aside) == records
    assert found(runs) == []


CODE = {"commit": "abc", "dirty": True, "diff": "0123", "untracked": ["notes.txt"]}


def snapshot(
    runs: Path, name: str = "0123456789ab", code: object = CODE, diff: object = "+x"
) -> Path:
    made = runs / ".code" / name
    (made / "harness").mkdir(parents=True)
    (made / "harness" / "plan.py").write_text("x = 1\n")
    atomic.write_json(made / "snapshot.json", {"code": code, "diff": diff})
    age(made)
    return made


def age(folder: Path) -> None:
    then = time.time() - 2 * DAY_S
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then))


def test_code_that_no_job_runs(runs: Path) -> None:
    unused, used = snapshot(runs), snapshot(runs, "ba9876543210")
    (one,) = found(runs, used=[used.name])
    assert (one.kind, one.place) == ("code", unused)
    garbage.remove(one)
    assert list((runs / ".code").iterdir()) == [used]
    garbage.remove(one)


def test_a_folder_that_cannot_be_read_does_not_hide_the_others(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, noted = snapshot(runs), list[str]()
    for name in ("birds", "cats"):
        (runs / "reports" / name).mkdir(parents=True)
    draft = runs / "reports" / "cats" / ".report.html.0123abcd.tmp"
    draft.touch()
    age(draft)
    listed = Path.iterdir

    def closed(path: Path) -> Any:
        if path.name == "birds":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", closed)
    places = [each.place for each in garbage.find(runs, (), (), noted.append)]
    assert places == [copy, draft]
    assert [text.partition(":")[0] for text in noted] == [str(runs / "reports" / "birds")]


def test_code_that_was_used_today_stays(runs: Path) -> None:
    """A job without a record of its submission may wait to run it."""
    os.utime(snapshot(runs))
    assert found(runs) == []


@pytest.mark.parametrize(
    ("code", "diff"),
    [
        (CODE | {"untracked": ["harness/new.py"]}, "+x"),
        (CODE, ""),
        (CODE | {"commit": None}, ""),
        (CODE | {"dirty": None, "diff": None, "untracked": []}, ""),
        (None, ""),
    ],
)
def test_code_that_stands_nowhere_else_stays(runs: Path, code: object, diff: str) -> None:
    snapshot(runs, code=code, diff=diff)
    assert found(runs) == []


@pytest.mark.parametrize(
    ("name", "stays"), [("mine/run.py", True), ("mine.py", True), ("a-1.0.dist-info/x", False)]
)
def test_code_of_a_package_that_no_record_describes_stays(
    runs: Path, name: str, stays: bool
) -> None:
    clean = {"commit": "abc", "dirty": False, "diff": None, "untracked": []}
    made = snapshot(runs, code=clean, diff="")
    (made / name).parent.mkdir(exist_ok=True)
    (made / name).touch()
    age(made)
    assert (found(runs) == []) is stays


def draft(path: Path, age_s: float = 2 * DAY_S) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("part")
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_drafts_of_the_dead(runs: Path) -> None:
    made = stage(runs, state="")
    aside = StageFolder(stage(runs, "b", state="").set_aside())
    for path in (aside.checkpoints).iterdir():
        path.unlink()
    old = [
        draft(made.checkpoints / ".step-00000040-0123456789ab.pt.0123abcd.tmp"),
        draft(made.path / ".result.json.0123abcd.tmp"),
        draft(made.path / "attempts" / "0001" / ".marks.json.0123abcd.tmp"),
        draft(made.path / "pictures" / ".3-true.png.0123abcd.tmp"),
        draft(runs / "submissions" / ".20261122-101500-ab12cd.json.0123abcd.tmp"),
        draft(runs / "submissions" / "claims" / "000001" / ".ended.json.0123abcd.tmp"),
        draft(runs / "reports" / "tiny" / ".report.md.0123abcd.tmp"),
        draft(runs / "bench" / ".tiny-20261122T101500Z.json.0123abcd.tmp"),
        draft(runs / "certificates" / ".0123-4567.json.0123abcd.tmp"),
        draft(aside.path / ".result.json.0123abcd.tmp"),
    ]
    for name in (".result.json.tmp", ".x.0123abcd.tmp.bak", "x.0123abcd.tmp"):
        draft(made.path / name)
    draft(made.path / "pictures" / "3-true.png")
    draft(runs / ".x.json.0123abcd.tmp", age_s=DAY_S / 2)
    ones = found(runs)
    assert {one.kind for one in ones} == {"draft"}
    assert {one.place for one in ones} == set(old)
    for one in ones:
        garbage.remove(one)
    assert not any(path.exists() for path in old)
    assert steps(made) == [30, 20, 10]


@pytest.mark.parametrize(
    "name",
    [
        ".notes.0123abcd.tmp",
        "proj/.notes.0123abcd.tmp",
        "proj/checkpoints/.notes.0123abcd.tmp",
        "wandb/.x.0123abcd.tmp",
        "aside/old/.notes.0123abcd.tmp",
        "aside/old/checkpoints/step-00000010-0123456789ab.pt",
        "a-s0.pretrain-0123456789/mine/.notes.0123abcd.tmp",
    ],
)
def test_what_others_have_there_stays(runs: Path, name: str) -> None:
    stage(runs, state="")
    draft(runs / name)
    assert found(runs) == []


def test_a_run_root_is_known_by_its_runs(runs: Path) -> None:
    draft(runs / "submissions" / "mine.json")
    draft(runs / "aside" / "old" / "checkpoints" / "step-00000010-0123456789ab.pt")
    assert not garbage.is_run_root(runs)
    assert not garbage.is_run_root(runs / "none")
    aside = stage(runs).set_aside()
    assert garbage.is_run_root(runs)
    aside.rename(runs / "a-s0.pretrain-0123456789")
    assert garbage.is_run_root(runs)


def test_a_copy_that_was_never_finished(runs: Path) -> None:
    made = draft(runs / ".code" / ".0123456789ab.0123abcd" / "harness" / "plan.py")
    folder = made.parent.parent
    assert found(runs) == [], "the folder itself was written to just now"
    then = time.time() - 2 * DAY_S
    for path in (made.parent, folder):
        os.utime(path, (then, then))
    (one,) = found(runs)
    assert (one.kind, one.place, one.size) == ("draft", folder, 4)
    os.utime(made)
    assert found(runs) == [], "it grows"
    garbage.remove(one)
    assert list((runs / ".code").iterdir()) == []


def test_a_link_is_not_followed(runs: Path, tmp_path: Path) -> None:
    far = draft(tmp_path / "far" / ".x.json.0123abcd.tmp")
    (stage(runs, state="").path / "attempts" / "0002").symlink_to(far.parent)
    (runs / "bench").symlink_to(far.parent)
    for name, of in ((".code", snapshot), ("aside", stage)):
        of(tmp_path / "far", name)
        (runs / name).symlink_to(tmp_path / "far" / name)
    assert found(runs) == []


def test_what_cannot_be_deleted_is_a_message(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stage(runs)
    (one,) = found(runs)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match=made.id):
        garbage.remove(one)


def test_an_empty_run_root(runs: Path) -> None:
    assert found(runs) == []
    assert found(runs / "none") == []


def test_it_reads_the_names_that_are_written(runs: Path) -> None:
    from harness.runtime import checkpoint as real

    made = stage(runs)
    path = real.save(made.checkpoints, 40, {"x": 1}, keep=9)
    assert [path for _, _, path in garbage.saved(made)] == [
        path for _, path in real.listed(made.checkpoints)
    ]
    assert garbage.saved(made)[0][1:] == (real.newest_digest(made.checkpoints), path)
