"""squeue and sacct as they are: the outputs are of SLURM 22.05."""

from __future__ import annotations

import pytest
from launch.world import World

from harness.launch.job_states import JobState
from harness.launch.slurm import clients, queue
from harness.launch.slurm.queue import Queue
from harness.store.submission import Array

FIVE = Array("moco-a-0", "pretrain", ("a", "b", "c", "d", "e"), job="680221")
PROBES = Array("moco-a-1", "knn", ("f", "g"), job="680222")
ALONE = Array("moco-a-2", "linear", ("h",), job="680223")
REPORT = Array("moco-a-3", "report", (), job="680224")

SQUEUE = """\
680221|3|CANCELLED|n1|moco-a-0|None
680222|1|CANCELLED||moco-a-1|DependencyNeverSatisfied
680221|1|FAILED|n1|moco-a-0|NonZeroExitCode
680222|0|PENDING||moco-a-1|Dependency
680221|0|RUNNING|n1|moco-a-0|None
680221|4|COMPLETING|n[1-2]|moco-a-0|None
680224|N/A|PENDING||moco-a-3|ReqNodeNotAvail, UnavailableNodes:n1|n2
squeue: a line of another kind
"""
SACCT = """\
680221_1|FAILED|3:0|n1|moco-a-0|None
680221_1.batch|FAILED|3:0|n1|batch|
680221_2|FAILED|0:9|n1|moco-a-0|None
680221_2.batch|CANCELLED|0:9|n1|batch|
680221_2.0|OUT_OF_MEMORY|0:125|n1|submitit|
680221_3|CANCELLED by 0|0:0|n1|moco-a-0|None
680222_1|CANCELLED|0:0|None assigned|moco-a-1|None
680223|TIMEOUT|0:0|n2|moco-a-2|None
680223.batch|CANCELLED|0:15|n2|batch|
"""


def ask(arrays: list[Array]) -> dict[str, JobState]:
    return Queue().ask(arrays, 0.0).jobs


def test_squeue_first_then_sacct_for_what_is_over(world: World) -> None:
    world.says("squeue", SQUEUE)
    world.says("sacct", SACCT)
    jobs = ask([FIVE, PROBES, ALONE, REPORT])
    assert {job: (s.state, s.reason, s.node, s.live) for job, s in jobs.items()} == {
        "680221_0": ("RUNNING", "", "n1", True),
        "680221_1": ("FAILED", "NonZeroExitCode", "n1", False),
        "680221_2": ("OUT_OF_MEMORY", "", "n1", False),
        "680221_3": ("CANCELLED", "by root", "n1", False),
        "680221_4": ("COMPLETING", "", "n[1-2]", True),
        "680222_0": ("PENDING", "Dependency", "", True),
        "680222_1": ("CANCELLED", "DependencyNeverSatisfied", "", False),
        "680223": ("TIMEOUT", "", "n2", False),
        "680224": ("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1|n2", "", True),
    }
    assert jobs["680221_1"].exit == "3:0"


def test_one_call_of_each_whatever_the_number(world: World) -> None:
    ask([Array(f"moco-b-{n}", "knn", ("x", "y"), job=str(100 + n)) for n in range(300)])
    assert len(world.called("squeue")) == len(world.called("sacct")) == 1


def test_very_many_are_asked_for_in_several_calls(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux limits each argument to 128 KiB."""
    monkeypatch.setattr(clients, "AT_ONCE", 2)
    world.says("squeue", SQUEUE)
    world.says("sacct", SACCT)
    arrays = [FIVE, PROBES, ALONE, REPORT, Array("moco-a-4", "knn", ("i",))]
    jobs = ask(arrays)
    assert (jobs["680221_0"].state, jobs["680223"].state) == ("RUNNING", "TIMEOUT")
    asked = [words[-1].removeprefix("--name=") for words in world.called("squeue")]
    assert asked == ["moco-a-0,moco-a-1", "moco-a-2,moco-a-3", "moco-a-4"]


def test_no_job_no_question(world: World) -> None:
    assert ask([]) == {}
    assert not world.calls.exists()


def test_accounting_is_not_asked_of_what_is_alive(world: World) -> None:
    world.says("squeue", "680223|N/A|RUNNING|n1|moco-a-2|None\n")
    assert ask([ALONE])["680223"].live
    assert world.called("sacct") == []


def test_the_users_own_defaults_do_not_matter(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    monkeypatch.setenv("SACCT_FORMAT", "JobID")
    for client in ("squeue", "sacct"):
        script = "#!/bin/sh\nif env | grep -qE '^(SQUEUE|SACCT)_'; then exit 3; fi\n"
        (world.bin / client).write_text(script)
    assert ask([ALONE])["680223"].state == "GONE"


def test_an_array_without_a_number_is_found_by_name(world: World) -> None:
    lost = Array("moco-a-0", "pretrain", ("a", "b"))
    world.says("squeue", "77|0|RUNNING|n1|moco-a-0|None\n77|1|PENDING||moco-a-0|Resources\n")
    found = Queue().ask([lost], 0.0)
    assert found.numbers == {"moco-a-0": "77"}
    assert found.jobs["77_1"].state == "PENDING"
    world.says("squeue")
    world.says("sacct", "77_0|COMPLETED|0:0|n1|moco-a-0|None\n77_1|FAILED|1:0|n1|moco-a-0|None\n")
    found = Queue().ask([lost], 0.0)
    assert found.numbers == {"moco-a-0": "77"}
    assert found.jobs["77_1"].state == "FAILED"
    assert any(word.startswith("--name=") for word in world.called("sacct")[-1])


def test_elements_that_wait_may_be_one_line_of_accounting(world: World) -> None:
    world.says("squeue", code=1, err="slurm_load_jobs error: Unable to contact slurm controller")
    world.says("sacct", "680221_[0-1,3-4%2]|PENDING|0:0|None assigned|moco-a-0|None\n")
    jobs = ask([FIVE])
    assert [jobs[f"680221_{n}"].live for n in (0, 1, 3, 4)] == [True] * 4
    assert jobs["680221_2"].state == "UNKNOWN"


# ---- who does not answer


def test_without_accounting_squeue_is_enough(world: World) -> None:
    world.says("squeue", SQUEUE)
    world.says("sacct", code=1, err="Slurm accounting storage is disabled")
    found = Queue().ask([FIVE, ALONE], 0.0)
    assert found.jobs["680221_0"].live
    assert (found.jobs["680221_1"].state, found.jobs["680221_3"].state) == ("FAILED", "CANCELLED")
    assert found.jobs["680223"].state == "GONE"
    assert found.notes == (
        "SLURM's accounting does not answer (Slurm accounting storage is disabled)",
    )


def test_what_the_controller_forgets_is_remembered_where_there_is_no_accounting(
    world: World,
) -> None:
    asking = Queue()
    world.says("sacct", code=1)
    world.says("squeue", "680223|N/A|TIMEOUT|n1|moco-a-2|TimeLimit\n")
    assert asking.ask([ALONE], 0.0).jobs["680223"].state == "TIMEOUT"
    world.says("squeue")
    assert asking.ask([ALONE], 0.0).jobs["680223"].state == "TIMEOUT"


def test_a_controller_that_is_down(world: World) -> None:
    world.says("squeue", code=1, err="slurm_load_jobs error: Unable to contact slurm controller")
    world.says("sacct", "680221_0|RUNNING|0:0|n1|moco-a-0|None\n" + SACCT)
    found = Queue().ask([FIVE], 0.0)
    assert not found.controller
    assert "the SLURM controller " in found.notes[0]
    assert (found.jobs["680221_0"].state, found.jobs["680221_0"].live) == ("RUNNING", True)
    assert found.jobs["680221_0"].late, "it may have been requeued, or have begun, since"
    assert found.jobs["680221_1"].state == "FAILED"
    assert found.jobs["680221_4"].state == "UNKNOWN"


def test_accounting_that_has_not_heard_of_the_end_yet_is_asked_again(world: World) -> None:
    """A job's start, written late, has the present state and no exit code."""
    asking = Queue()
    for told, code in (("0:0", ""), ("0:9", "0:9"), ("0:0", "0:9")):
        world.says("sacct", f"680223|FAILED|{told}|n2|moco-a-2|None\n")
        job = asking.ask([ALONE], 0.0).jobs["680223"]
        assert (job.state, job.exit) == ("FAILED", code)


@pytest.mark.parametrize("word", ["NODE_FAIL", "PREEMPTED"])
def test_without_the_controller_a_lost_node_is_not_the_end(world: World, word: str) -> None:
    world.says("sacct", f"680223|{word}|0:0|n1|moco-a-2|None\n")
    assert ask([ALONE])["680223"].state == word
    world.says("squeue", code=1)
    assert ask([ALONE])["680223"].state == "UNKNOWN"


def test_a_client_that_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "TIMEOUT_S", 0.2)
    (world.bin / "squeue").write_text("#!/bin/sh\nexec sleep 30\n")
    found = Queue().ask([ALONE], 0.0)
    (note,) = found.notes
    assert "squeue: no answer in 0.2 s" in note


def test_a_number_of_another_name_is_another_job(world: World) -> None:
    """Of another cluster's accounts, or of years ago."""
    world.says("sacct", "680223|FAILED|1:0|n2|train.sh|None\n680223.0|OUT_OF_MEMORY|0:0|n2|x|\n")
    assert ask([ALONE])["680223"].state == "GONE"
    world.says("squeue", "680299|N/A|RUNNING|n1|moco-a-2|None\n")
    assert ask([ALONE])["680223"].state == "GONE"


def test_no_clients(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(world.root))
    found = Queue().ask([ALONE], 0.0)
    assert found.jobs["680223"] == JobState("680223", "UNKNOWN")
    assert "squeue: not installed" in found.notes[0]


# ---- from one question to the next


def test_accounting_is_asked_once_for_what_is_over(world: World) -> None:
    asking = Queue()
    world.says("sacct", SACCT)
    for _ in range(3):
        assert asking.ask([ALONE], 0.0).jobs["680223"].state == "TIMEOUT"
    assert len(world.called("sacct")) == 1
    world.says("squeue", "680223|N/A|PENDING||moco-a-2|BeginTime\n")
    assert asking.ask([ALONE], 0.0).jobs["680223"].live, "somebody requeued it"


def test_accounting_that_lags_is_asked_again(world: World) -> None:
    asking = Queue()
    world.says("sacct", "680223|RUNNING|0:0|n1|moco-a-2|None\n")
    assert asking.ask([ALONE], 0.0).jobs["680223"].state == "GONE"
    world.says("sacct", SACCT)
    assert asking.ask([ALONE], 0.0).jobs["680223"].state == "TIMEOUT"


def test_where_nobody_answers_it_is_told_soon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a munge that hangs: the second question is cut short, and the cluster's name is not
    asked for with each job."""
    monkeypatch.setattr(clients, "TIMEOUT_S", 0.6)
    monkeypatch.setattr(queue, "HURRY_S", 0.2)
    for client in ("squeue", "sacct", "scontrol"):
        (world.bin / client).write_text(f"#!/bin/sh\necho {client} >> asked\nexec sleep 30\n")
        (world.bin / client).chmod(0o755)
    monkeypatch.chdir(world.root)
    asks = Queue()
    answer = asks.ask([Array("moco-x-0", "knn", ("a",), job="1")], 0.0)
    assert not answer.controller
    assert [note.rpartition(" in ")[2] for note in answer.notes] == ["0.6 s)", "0.2 s)"]
    assert {asks.cluster.name for _ in range(5)} == {""}
    assert (world.root / "asked").read_text().split() == ["squeue", "sacct", "scontrol"]


def test_without_munge_accounting_is_not_asked_either(world: World) -> None:
    said = "squeue: error: Munge encode failed: Failed to access /run/munge: No such file"
    world.says("squeue", code=1, err=said)
    answer = Queue().ask([ALONE], 0.0)
    assert not answer.controller
    assert [said in note for note in answer.notes] == [True, True]
    assert answer.jobs["680223"].state == "UNKNOWN"
    assert world.called("sacct") == []
