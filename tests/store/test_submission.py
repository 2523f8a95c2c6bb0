from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Busy, StoreError
from harness.store import liveness, submission
from harness.store.submission import Array, Submission, claim


def made(**more: Any) -> Submission:
    arrays = [
        Array("moco-x-0", "pretrain", ("p0", "p1")),
        Array("moco-x-1", "knn", ("k0",), after=(0,), waits=("7_1",)),
        Array("moco-x-2", "report", (), after=(0, 1)),
    ]
    new = submission.new(
        submission.new_id(),
        on="slurm",
        recipe="recipes/tiny.yaml",
        sets=["seed=1"],
        name="tiny",
        code="/runs/.code/0",
        arrays=arrays,
    )
    return replace(new, **more)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert submission.everything(tmp_path) == []
    one, two = made(t=5), made(t=4)
    submission.write(tmp_path, one)
    submission.write(tmp_path, two)
    assert submission.everything(tmp_path) == [two, one], "oldest first"
    known = one.job(0, "123")
    submission.write(tmp_path, known)
    assert submission.everything(tmp_path) == [two, known]
    assert known.arrays[0].job == "123"
    assert known.arrays[1] == one.arrays[1]
    assert submission.read(tmp_path, one.id) == known
    assert one.stages == {"p0", "p1", "k0"}
    (path,) = (tmp_path / "submissions").glob(f"{one.id}.json")
    said = json.loads(path.read_text())
    assert said["schema"] == 1
    assert said["arrays"][1] == {
        "name": "moco-x-1",
        "kind": "knn",
        "stages": ["k0"],
        "after": [0],
        "job": None,
        "waits": ["7_1"],
    }


def test_a_record_of_before_clusters_were_written_down(tmp_path: Path) -> None:
    one = made(cluster="a")
    submission.write(tmp_path, one)
    path = tmp_path / "submissions" / f"{one.id}.json"
    said = json.loads(path.read_text())
    del said["cluster"]
    path.write_text(json.dumps(said))
    assert submission.everything(tmp_path) == [replace(one, cluster="")]
    path.unlink()
    with pytest.raises(StoreError, match="is missing; run again"):
        submission.read(tmp_path, one.id)


def test_elements_as_slurm_numbers_them() -> None:
    array, single, report = made().job(0, "12").job(1, "13").job(2, "14").arrays
    assert array.elements() == [("p0", "12_0"), ("p1", "12_1")]
    assert single.elements() == [("k0", "13")]
    assert report.elements() == []
    assert made().arrays[0].elements() == [], "not known yet"
    everything = Array("moco-x-0", "all", ("p0", "k0"), job="99")
    assert everything.elements() == [("p0", "99"), ("k0", "99")], "one job does it all"


def test_the_newest_submission_of_a_stage_counts() -> None:
    old = made(t=1, id="old").job(0, "12")
    new = made(t=2, id="new", arrays=(Array("moco-new-0", "pretrain", ("p1",)),))
    found = submission.newest([old, new])
    assert {stage: (s.id, a.name, n) for stage, (s, a, n) in found.items()} == {
        "p0": ("old", "moco-x-0", 0),
        "p1": ("new", "moco-new-0", 0),
        "k0": ("old", "moco-x-1", 0),
    }


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"schema": 2}', '{"schema": 1, "arrays": 3}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    submission.write(tmp_path, made())
    (path,) = (tmp_path / "submissions").glob("*.json")
    path.write_text(text)
    with pytest.raises(StoreError, match=str(path)):
        submission.everything(tmp_path)


def test_who_may_still_be_submitting() -> None:
    mine = made()
    assert submission.submitting(mine)
    whole = mine.job(0, "1").job(1, "2").job(2, "3")
    assert not submission.submitting(whole)
    dead = {**liveness.identity(), "born": "1"}
    assert not submission.submitting(replace(mine, submitter=dead))
    elsewhere = {**liveness.identity(), "host": "login-7"}
    assert submission.submitting(replace(mine, submitter=elsewhere))
    late = time.time() - submission.CLAIM_WAIT_S
    assert not submission.submitting(replace(mine, submitter=elsewhere, t=late))


def test_a_claim_excludes_and_is_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    with claim(tmp_path, notes.append):
        monkeypatch.setattr(submission, "CLAIM_WAIT_S", 0.3)
        by = rf"process {os.getpid()} on .* is submitting in {tmp_path}"
        with pytest.raises(Busy, match=by), claim(tmp_path, notes.append):
            raise AssertionError
        assert len(notes) == 1
        assert notes[0].endswith("waiting for it")
    with pytest.raises(ZeroDivisionError), claim(tmp_path):
        _ = 1 // 0
    with claim(tmp_path):
        left = list((tmp_path / "submissions" / "claims").iterdir())
        assert len(left) == 1, "those that are over are cleared away"


HOLD = """\
import sys, time
from pathlib import Path
from harness.store.submission import claim
with claim(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_dead_holder_keeps_nothing(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    with claim(tmp_path):
        pass


COUNT = """\
import sys, time
from pathlib import Path
from harness.store.submission import claim
root, counter = Path(sys.argv[1]), Path(sys.argv[1]) / "counter"
for _ in range(8):
    with claim(root):
        before = int(counter.read_text())
        time.sleep(0.005)
        counter.write_text(str(before + 1))
"""


def test_of_many_each_has_it_alone(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")
    words = [sys.executable, "-c", COUNT, str(tmp_path)]
    for process in [subprocess.Popen(words) for _ in range(3)]:
        assert process.wait() == 0
    assert (tmp_path / "counter").read_text() == "24"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "submissions").write_text("a file")
    with pytest.raises(StoreError), claim(tmp_path):
        raise AssertionError
    with pytest.raises(StoreError):
        submission.write(tmp_path, made())
