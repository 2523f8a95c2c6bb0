"""`moco-harness gc`: it tells first, deletes with --yes, and leaves what jobs may need."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from launch.world import World, listed

from harness.errors import DiskError
from harness.store import atomic
from harness.store.layout import StageFolder
from harness.store.submission import Array


def finished(world: World, run: str = "tiny-s0") -> StageFolder:
    folder = world.stage(run=run)
    for step in (40, 80):
        content = bytes(2_000_000) + bytes([step])
        digest = hashlib.sha256(content).hexdigest()[:12]
        (folder.checkpoints / f"step-{step:08d}-{digest}.pt").write_bytes(content)
    found = {"state": "finished", "step": 80, "values": {}, "message": "", "weights": digest}
    atomic.write_json(folder.path / "result.json", found)
    return folder


def checkpoints(folder: StageFolder) -> int:
    return len(list(folder.checkpoints.iterdir()))


def test_it_tells_first_and_deletes_with_yes(moco: Any, world: World) -> None:
    folder = finished(world)
    said = moco("gc")
    assert (said.code, said.err) == (0, "")
    assert f"of finished stages  runs/{folder.id}  2 MB" in said.out
    assert said.out.endswith("add --yes to delete it\n")
    assert checkpoints(folder) == 2
    assert not (world.root / "submissions").exists(), "telling writes nothing"
    said = moco("gc", "--yes")
    assert (said.code, said.out.splitlines()[-1]) == (0, "deleted 2 MB")
    assert checkpoints(folder) == 1
    assert moco("gc").out == "nothing to delete\n"


def test_on_a_full_disk_it_deletes_all_but_copies_of_the_code(
    moco: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, code = finished(world), copy_of_the_code(world)
    os.utime(code, (0, 0))
    assert str(code.name) in moco("gc").out

    def full(*_: object) -> None:
        raise DiskError("alive.json: the disk is full")

    monkeypatch.setattr("harness.store.submission.claim", full)
    said = moco("gc", "--yes")
    assert (said.code, said.out.splitlines()[-1]) == (0, "deleted 2 MB")
    assert "copies of the code stay this time (alive.json: the disk is full)" in said.out
    assert (checkpoints(folder), code.exists()) == (1, True)


def test_many_are_summed_up(moco: Any, world: World) -> None:
    folders = [finished(world, f"tiny-s{n}") for n in range(41)]
    said = moco("gc")
    rows = [line for line in said.out.splitlines() if "of finished stages" in line]
    assert [row.split()[-3:] for row in rows] == [["41", "82", "MB"]]
    assert all(checkpoints(folder) == 2 for folder in folders)


def copy_of_the_code(world: World, name: str = "0123456789ab") -> Path:
    place = world.root / ".code" / name
    (place / "harness").mkdir(parents=True)
    code = {"commit": "abc", "dirty": False, "diff": None, "untracked": []}
    atomic.write_json(place / "snapshot.json", {"code": code, "diff": ""})
    for path in (place, *place.iterdir()):
        os.utime(path, (0, 0))
    return place


def test_what_a_job_has_or_may_have_stays(moco: Any, world: World) -> None:
    done, waits = finished(world), world.stage(run="tiny-s1")
    code, unused = copy_of_the_code(world), copy_of_the_code(world, "ba9876543210")
    made = world.submit(done, waits, job="12", code=str(code))
    world.says("squeue", listed(made, "12_0", "RUNNING") + listed(made, "12_1", "PENDING"))
    assert moco("gc", "--yes").code == 0
    assert (checkpoints(done), code.exists(), unused.exists()) == (2, True, False)

    world.says("squeue", code=1, err="Unable to contact slurm controller")
    world.says("sacct", code=1, err="no")
    said = moco("gc", "--yes")
    assert "note: the SLURM controller " in said.out
    assert "are kept" in said.out
    assert (checkpoints(done), code.exists()) == (2, True)

    world.says("squeue")
    world.says("sacct")
    assert moco("gc", "--yes").code == 0
    assert (checkpoints(done), code.exists()) == (1, False)


def test_a_run_root_that_is_named_through_a_link_keeps_its_code(moco: Any, world: World) -> None:
    waits, code = world.stage(run="tiny-s1"), copy_of_the_code(world)
    made = world.submit(waits, job="12", code=str(code))
    world.says("squeue", listed(made, "12", "PENDING"))
    link = world.root.with_name("link")
    link.symlink_to(world.root)
    said = moco("gc", "--yes", "--runs", str(link))
    assert (said.code, code.exists()) == (0, True), said.out


def test_what_another_cluster_may_run_stays(moco: Any, world: World) -> None:
    done, waits, code = finished(world), world.stage(run="tiny-s1"), copy_of_the_code(world)
    world.submit(done, waits, job="12", code=str(code), cluster="there")
    assert moco("gc", "--yes").code == 0
    assert code.exists()
    world.result(waits)
    assert moco("gc", "--yes").code == 0
    assert not code.exists()


def test_a_report_that_waits_needs_its_code(moco: Any, world: World) -> None:
    done, code = finished(world), copy_of_the_code(world)
    report = Array("moco-report", "report", (), after=(0,), job="13")
    world.submit(done, job="12", code=str(code), arrays=[report])
    world.says("squeue", "13|N/A|PENDING||moco-report|Dependency\n")
    assert moco("gc", "--yes").code == 0
    assert (checkpoints(done), code.exists()) == (1, True)


def test_a_submission_in_the_making_needs_its_code(moco: Any, world: World) -> None:
    folder, code = world.stage(), copy_of_the_code(world)
    world.submit(folder, job=None, ago_s=0, code=str(code))
    assert moco("gc", "--yes").code == 0
    assert code.exists()
    world.submit(folder, job=None, ago_s=0, on="local", code=str(code))
    assert moco("gc", "--yes").code == 0
    assert code.exists()


def test_a_damaged_checkpoint_is_told(moco: Any, world: World) -> None:
    folder, other = finished(world), finished(world, "tiny-s1")
    last = max(folder.checkpoints.iterdir())
    last.write_bytes(b"cut")
    said = moco("gc", "--yes")
    assert said.code == 1
    assert f"not deleted: runs/{folder.id}/checkpoints/{last.name}: damaged" in said.out
    assert (checkpoints(folder), checkpoints(other)) == (2, 1)


def test_drafts_where_data_is_staged(moco: Any, world: World, place: Path) -> None:
    staged = place / "disk"
    name = f"moco-harness-data-{os.getuid()}-0123456789ab"
    whole, part = (staged / f"{dot}{name}" for dot in ("", "."))
    part = part.with_name(f"{part.name}.{time.time_ns():020}-0123abcd")
    others = staged / ".cache.0123abcd"
    for folder in (whole, part, others):
        folder.mkdir(parents=True)
        os.utime(folder, (0, 0))
    slurm = {"slurm": {"stage_data": str(staged)}}
    Path("site.yaml").write_text(json.dumps(slurm))
    finished(world)
    said = moco("gc", "--site", "site.yaml", "--yes")
    assert said.code == 0, said.all
    assert (whole.exists(), part.exists(), others.exists()) == (True, False, True)


def test_no_run_root(moco: Any, place: Path) -> None:
    said = moco("gc", "--yes")
    assert (said.code, said.out) == (0, "no runs under runs\n")
    assert list(place.iterdir()) == []
    Path("runs").mkdir()
    said = moco("gc", "--yes")
    assert (said.code, said.out) == (0, "no runs under runs\n")
    assert list(Path("runs").iterdir()) == []


def test_what_is_no_run_root_is_left_as_it_is(moco: Any, place: Path) -> None:
    notes = place / "proj" / ".notes.0123abcd.tmp"
    notes.parent.mkdir()
    notes.touch()
    os.utime(notes, (0, 0))
    said = moco("gc", "--runs", "proj", "--yes")
    assert (said.code, said.err) == (
        4,
        "error: proj: contains no runs; name the run root with --runs\n",
    )
    assert list(notes.parent.iterdir()) == [notes]
    assert moco("gc", "--runs", "/").code == 4
    said = moco("gc", "--runs", notes)
    assert (said.code, "a file" in said.err) == (4, True)
