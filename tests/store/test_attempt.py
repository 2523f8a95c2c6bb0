from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.errors import AlreadyDone, Busy, StoreError, Superseded
from harness.store import atomic, clock, journal, operating_system
from harness.store import liveness as module
from harness.store.attempt import begin
from harness.store.layout import StageFolder
from harness.store.ledger import read_entry
from harness.store.liveness import HEARTBEAT_S, SILENCE_S, holder

HOLD = """\
import sys, time
from pathlib import Path
from harness.errors import Busy
from harness.store.attempt import begin
from harness.store.layout import StageFolder
folder, go = StageFolder(Path(sys.argv[1])), Path(sys.argv[2])
print("ready", flush=True)
while not go.exists(): pass
try:
    attempt = begin(folder)
except Busy as error:
    print("busy", error, flush=True)
else:
    attempt.record([{"step": 1}])
    print("won", flush=True)
time.sleep(60)
"""


def contender(folder: StageFolder, go: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, folder.path, go], stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def pretend(folder: StageFolder, age: float = 0.0, **who: Any) -> Path:
    """An attempt that somebody else holds, silent for `age` seconds."""
    path = folder.path / "attempts" / "0001"
    path.mkdir()
    identity = {**module.identity(), **who}
    (path / "alive.json").write_text(json.dumps(identity))
    past = time.time() - age
    os.utime(path / "alive.json", (past, past))
    os.utime(path, (past, past))
    return path


def test_drafts_of_a_dead_life_are_swept(folder: StageFolder) -> None:
    begin(folder).end("interrupted")
    drafts = [
        folder.path / "attempts/0001/.marks.json.0123abcd.tmp",
        folder.path / ".result.json.0123abcd.tmp",
        folder.checkpoints / ".step-00000001-0123456789ab.pt.0123abcd.tmp",
    ]
    for path in drafts:
        path.touch()
    begin(folder).end("interrupted")
    assert not any(path.exists() for path in drafts)


def test_a_life_and_the_next(folder: StageFolder) -> None:
    first = begin(folder)
    assert first.number == 1
    who = holder(first.path)
    assert who is not None
    assert who["pid"] == os.getpid()
    with pytest.raises(Busy, match=rf"process {os.getpid()} on .* \(attempt 0001\); wait for it"):
        begin(folder)
    first.record([{"step": 1}])
    first.describe({"edition": "e"})
    first.end("interrupted", "stopped on request")
    first.end("failed", "a second word is not heard")
    assert holder(first.path) is None
    ended = atomic.read_json(first.path / "ended.json")
    assert (ended["how"], ended["message"]) == ("interrupted", "stopped on request")
    second = begin(folder)
    assert second.path.name == "0002"
    assert begin_fails(folder)
    second.end("interrupted")
    assert [path.name for path in folder.attempts()] == ["0001", "0002"]


def begin_fails(folder: StageFolder) -> bool:
    with pytest.raises(Busy):
        begin(folder)
    return True


def test_a_stage_that_is_done_is_not_begin(folder: StageFolder) -> None:
    first = begin(folder)
    first.finish({"state": "finished", "step": 1})
    assert begin_fails(folder), "its holder has a word to say yet"
    first.end("finished")
    with pytest.raises(AlreadyDone):
        begin(folder)
    assert len(folder.attempts()) == 1


def test_a_damaged_result_is_not_begin(folder: StageFolder) -> None:
    (folder.path / "result.json").write_text("{")
    with pytest.raises(StoreError, match=r"result\.json"):
        begin(folder)
    assert folder.attempts() == []


def test_a_dead_process_holds_nothing(folder: StageFolder) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    path = pretend(folder, pid=process.pid, born=operating_system.start_time(process.pid))
    assert holder(path) is not None
    assert read_entry(folder).state == "running"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert holder(path) is None, "it is dead, though nobody has read its exit code"
    process.communicate()
    assert holder(path) is None
    assert read_entry(folder).state == "interrupted"


def test_a_reused_number_is_another_process(folder: StageFolder) -> None:
    assert holder(pretend(folder, born="1")) is None


def test_after_a_reboot_silence_decides(folder: StageFolder) -> None:
    path = pretend(folder, age=SILENCE_S + 5, boot="another")
    assert holder(path) is None
    os.utime(path / "alive.json")
    assert holder(path) is not None


@pytest.mark.parametrize(("age", "lives"), [(0, True), (SILENCE_S - 20, True), (SILENCE_S, False)])
def test_another_machine_lives_by_its_touches(folder: StageFolder, age: float, lives: bool) -> None:
    path = pretend(folder, age, host="node-7", pid=2**22, boot="b")
    assert (holder(path) is not None) == lives
    entry = read_entry(folder)
    assert entry.state == ("running" if lives else "interrupted")
    assert not lives or entry.detail.startswith(f"process {2**22} on node-7")


@pytest.mark.parametrize("wrong", [-2 * SILENCE_S, 2 * SILENCE_S])
def test_a_wrong_clock_kills_nobody(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    alive = {"host": "node-7", "boot": "b"}
    path, real = pretend(folder, SILENCE_S / 2, **alive), time.time
    monkeypatch.setattr(clock, "_ahead", {})
    monkeypatch.setattr(time, "time", lambda: real() + wrong)
    assert holder(path) is not None
    past = real() - SILENCE_S - 5
    os.utime(path / "alive.json", (past, past))
    assert holder(path) is None


@pytest.mark.parametrize("pid", [0, 1], ids=["ours", "anothers"])
def test_where_processes_are_hidden_silence_decides(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch, pid: int
) -> None:
    path = pretend(folder, pid=pid or os.getpid())
    read_text = Path.read_text

    def hidden(self: Path, *args: Any, **more: Any) -> str:
        if self.name == "stat":
            raise FileNotFoundError(self)
        return read_text(self, *args, **more)

    monkeypatch.setattr(Path, "read_text", hidden)
    assert holder(path) is not None
    past = time.time() - SILENCE_S
    os.utime(path / "alive.json", (past, past))
    assert holder(path) is None


def test_without_proc_a_dead_process_is_found_too(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating_system, "boot", lambda: "")
    assert holder(pretend(folder, pid=2**22 + 1, born="")) is None


def test_between_mkdir_and_the_first_words(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder.path / "attempts" / "0001"
    path.mkdir()
    assert holder(path) is not None
    assert read_entry(folder).state == "running"
    words = (path / "alive.json", module.identity())
    speaks = threading.Timer(0.3, lambda: atomic.write_json(*words))
    speaks.start()
    assert begin_fails(folder), "it was waited for, and spoke"
    speaks.join()
    (path / "alive.json").unlink()
    past = time.time() - HEARTBEAT_S
    os.utime(path, (past, past))
    monkeypatch.setattr(clock, "_ahead", {})
    assert holder(path) is None
    assert begin(folder).number == 2


def test_one_that_never_speaks_is_waited_for_and_taken_for_dead(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.path / "attempts" / "0001").mkdir()
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.5)
    monkeypatch.setattr(clock, "_ahead", {})
    assert begin(folder).number == 2


@pytest.mark.parametrize(
    "words",
    ["{}", "[]", "3", "null", "{", '{"pid": "7"}', '{"pid": 0}', '{"pid": -1}', '{"host": "h"}',
     '{"pid": 7}', '{"pid": 99999999999999999999}'],
)  # fmt: skip
def test_words_that_are_not_ours_are_no_error(folder: StageFolder, words: str) -> None:
    path = folder.path / "attempts" / "0001"
    path.mkdir()
    (path / "alive.json").write_text(words)
    who = holder(path)
    assert who is None or {"pid", "host"} <= set(who)
    assert read_entry(folder).state in ("running", "interrupted")


def test_of_several_processes_one_wins_and_a_kill_frees(
    folder: StageFolder, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    processes = [contender(folder, go) for _ in range(3)]
    try:
        assert [said(process) for process in processes] == ["ready\n"] * 3
        go.touch()
        outcomes = sorted(said(process).split()[0] for process in processes)
        assert outcomes == ["busy", "busy", "won"]
        assert len(folder.attempts()) == 1
        assert read_entry(folder).state == "running"
        with pytest.raises(Busy):
            begin(folder)
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    entry = read_entry(folder)
    assert (entry.state, entry.detail) == ("interrupted", "attempt 1 ended without a record")
    assert begin(folder).number == 2


RACE = """\
import sys, time
from pathlib import Path
from harness.errors import Busy
from harness.store.attempt import begin
from harness.store.layout import StageFolder
root, start = Path(sys.argv[1]), float(sys.argv[2])
won = []
for n in range(40):
    folder = StageFolder(root / str(n))
    while time.time() < start + n / 100: pass
    try:
        won.append((n, begin(folder)))
    except Busy:
        pass
print(*[n for n, _ in won], flush=True)
input()
"""


def test_each_of_many_races_has_one_winner(tmp_path: Path) -> None:
    for n in range(40):
        StageFolder(tmp_path / str(n)).create({"id": str(n)})
    start = str(time.time() + 0.5)
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, tmp_path, start], stdin=pipe, stdout=pipe, text=True
        )
        for _ in range(2)
    ]
    winners = sorted(int(n) for process in processes for n in said(process).split())
    for process in processes:
        process.communicate("\n")
    assert winners == list(range(40))


def test_who_comes_second_to_the_mkdir_is_told(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.path / "attempts" / "0001").mkdir()
    monkeypatch.setattr(StageFolder, "attempts", lambda _: [])  # as it was a moment ago
    with pytest.raises(Busy, match="another process"):
        begin(folder)


def test_who_was_thought_dead_writes_nothing(folder: StageFolder) -> None:
    old = begin(folder)
    old.record([{"step": 1}])
    (folder.path / "attempts" / "0002").mkdir()
    with pytest.raises(Superseded, match="attempt 2 has taken over"):
        old.record([{"step": 2}])
    with pytest.raises(Superseded):
        old.finish({"state": "finished"})
    old.end("superseded")
    assert folder.result is None
    assert [record["step"] for record in journal.read(folder)] == [1]
    assert read_entry(folder).state == "running", "the newer one's word counts"


def test_the_heart_beats_until_the_end(
    folder: StageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.005)
    alive = begin(folder)
    path = alive.path / "alive.json"
    os.utime(path, (0, 0))
    until = time.monotonic() + 20
    while not path.stat().st_mtime and time.monotonic() < until:
        time.sleep(0.002)
    assert path.stat().st_mtime
    alive.end("interrupted")
    alive._beat.join()
    os.utime(path, (0, 0))
    time.sleep(0.02)
    assert not path.stat().st_mtime


def test_a_beginning_that_fails_leaves_no_trace(folder: StageFolder, breaks: Any) -> None:
    breaks("fsync")
    with pytest.raises(StoreError, match="the disk is full"):
        begin(folder)
    assert folder.attempts() == []
    assert read_entry(folder).state == "absent"


def test_an_end_on_a_full_disk_is_quiet(folder: StageFolder, breaks: Any) -> None:
    alive = begin(folder)
    breaks("fsync")
    alive.end("failed", "the disk is full")
    assert not (alive.path / "ended.json").exists()


def test_a_full_disk_from_the_beginning(mount: Any) -> None:
    disk = mount("size=64k")
    folder = StageFolder(disk / "runs" / "tiny")
    folder.create({"id": "tiny"})
    room = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(room.f_bavail * room.f_frsize))
    with pytest.raises(StoreError, match="the disk is full"):
        begin(folder)
    (disk / "ballast").unlink()
    begin(folder).end("interrupted")


def test_whose_folder_was_moved_away_writes_nothing(folder: StageFolder) -> None:
    old = begin(folder)
    old.record([{"step": 1}])
    moved = folder.set_aside()
    folder.create({})
    with pytest.raises(Superseded, match="moved away while the stage ran"):
        old.record([{"step": 2}])
    with pytest.raises(Superseded):
        old.finish({"state": "finished"})
    old.end("superseded")
    assert folder.result is None
    assert [record["step"] for record in journal.read(StageFolder(moved))] == [1]
