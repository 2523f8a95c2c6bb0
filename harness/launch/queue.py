"""What SLURM says about jobs: one squeue and, for those that ended, one sacct, however many.

squeue is the controller's word and wins while it knows a job to be alive; accounting lags by up to
some seconds, may be absent, and tells the rest: how a job ended, and who cancelled it.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.store.submission import Array, Submission, newest, submitting

TIMEOUT_S = 5.0
"""Seconds for each call: without a controller squeue would try for 9."""
FAR_SILENCE_S = 900.0
"""A background job on another machine is taken for dead after so long without a word; it may take
minutes from one stage to the next."""
OVER = frozenset(
    (
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED"),
        *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT"),
    )
)
"""SLURM's words for a job that will not run again; a requeued one is PENDING or COMPLETING."""
_MAY_COME_BACK = frozenset(("NODE_FAIL", "PREEMPTED", "BOOT_FAIL"))
"""Of these, what accounting says of a job that is about to be requeued."""


@dataclass(frozen=True)
class JobState:
    """One job, or one element of a job array, as SLURM has it."""

    job: str
    """12 or 12_3; "" of one that is still being submitted."""
    state: str
    """SLURM's word (PENDING, RUNNING, FAILED ...). GONE: the controller answers and neither it nor
    accounting knows how the job ended. UNKNOWN: nobody answers, it may be alive. SUBMITTING."""
    reason: str = ""
    """SLURM's reason; of a cancelled job "by" whom, where accounting tells."""
    node: str = ""
    live: bool = False
    """It is or will be running."""
    exit: str = ""
    """Exit code and signal as accounting has them, "1:0" or "0:9"; "" if not known."""


@dataclass(frozen=True)
class Answer:
    """What SLURM said to one question."""

    jobs: dict[str, JobState] = field(default_factory=dict)
    """By job or array element."""
    numbers: dict[str, str] = field(default_factory=dict)
    """Array job number by job name, of every name that SLURM knows."""
    controller: bool = False
    """squeue answered."""
    notes: tuple[str, ...] = ()
    """Who did not answer, in sentences for a person."""


class Queue:
    """Asks SLURM; remembers from one question to the next which jobs are over."""

    def __init__(self) -> None:
        self._over: dict[str, JobState] = {}

    def ask(self, arrays: Iterable[Array], since: float) -> Answer:
        """The state of every element of `arrays`, those without a number looked for by name.

        Args:
            since: seconds since 1970, before which none of them was submitted: SLURM uses a number
                again after some years.
        """
        wanted = list(arrays)
        if not wanted:
            return Answer(controller=True)
        notes = []
        listed, said = _squeue(wanted)
        if listed is None:
            notes.append(f"the SLURM controller does not answer ({said})")
        numbers = {line.name: line.base for line in listed or ()}
        jobs = {line.state.job: line.state for line in listed or ()}
        for array in wanted:
            if array.job is not None:
                numbers[array.name] = array.job
        open_ = [
            array
            for array in wanted
            if (found := _elements(array, numbers.get(array.name))) is None
            or any(not (e in jobs and jobs[e].live) and e not in self._over for e in found)
        ]
        told: dict[str, JobState] | None = {}
        if open_:
            told, names, said = _sacct(open_, numbers, since)
            numbers |= {name: base for name, base in names.items() if name not in numbers}
            if told is None:
                notes.append(f"SLURM's accounting does not answer ({said})")
        for array in wanted:
            for element in _elements(array, numbers.get(array.name)) or ():
                jobs[element] = self._judge(element, jobs.get(element), told, listed is not None)
        return Answer(jobs, numbers, listed is not None, tuple(notes))

    def _judge(
        self,
        element: str,
        here: JobState | None,
        told: Mapping[str, JobState] | None,
        controller: bool,
    ) -> JobState:
        """One element's state of what squeue (`here`) and sacct (`told`) say."""
        if here is not None and here.live:
            self._over.pop(element, None)
            return here
        if element in self._over:
            return self._over[element]
        there = (told or {}).get(element)
        if there is not None and there.state in OVER:
            if controller or there.state not in _MAY_COME_BACK:
                # squeue's reason tells more, but for who cancelled
                reason = there.reason or (here.reason if here else "")
                self._over[element] = replace(there, reason=reason)
                return self._over[element]
            return replace(there, state="UNKNOWN")
        if here is not None:  # over by the controller's word; accounting lags behind, or is absent
            if told is None:
                self._over[element] = here  # which the controller forgets after some minutes
            return here
        if controller:
            return JobState(element, "GONE", there.state if there else "")
        return replace(there, live=True) if there else JobState(element, "UNKNOWN")


def survey(
    runs: Path, submissions: Sequence[Submission], wanted: Collection[str], queue: Queue
) -> tuple[dict[str, JobState], Answer]:
    """By stage id, what became of the newest job of each stage in `wanted`, and SLURM's answer.

    A stage is left out if no job of it was ever submitted: its submitter died before.
    """
    found = {s: place for s, place in newest(submissions).items() if s in wanted}
    arrays: dict[str, Array] = {}
    since = time.time()
    for submission, array, _ in found.values():
        if submission.on == "slurm":
            arrays[array.name] = array
            since = min(since, submission.t)
    answer = queue.ask(arrays.values(), since)
    states: dict[str, JobState] = {}
    local: dict[str, JobState] = {}
    for stage, (submission, array, index) in found.items():
        if submission.on != "slurm":
            if array.name not in local:
                local[array.name] = _background(runs, submission, array)
            states[stage] = local[array.name]
            continue
        known = replace(array, job=answer.numbers.get(array.name))
        element = known.element(index)
        if element is not None:
            states[stage] = answer.jobs.get(element, JobState(element, "UNKNOWN"))
        elif submitting(submission):
            states[stage] = JobState("", "SUBMITTING", f"by {submission.user}", live=True)
        elif not answer.controller:
            states[stage] = JobState("", "UNKNOWN")
    return states, answer


def _background(runs: Path, submission: Submission, array: Array) -> JobState:
    """A job of submitit's local executor: a process whose command line names the submission.

    Of another machine's, silence tells: one of its stages is always being run.
    """
    job = array.job or ""
    if not job:
        alive = submitting(submission)
        return JobState(job, "SUBMITTING" if alive else "GONE", live=alive)
    if submission.host != socket.gethostname():
        heard = max([submission.t, *(_heard(runs / stage) for stage in array.stages)])
        silent = time.time() - heard > FAR_SILENCE_S
        return JobState(job, "GONE" if silent else "UNKNOWN", f"on {submission.host}")
    try:
        words = Path(f"/proc/{job}/cmdline").read_bytes()
    except OSError:
        words = b""
    alive = submission.id.encode() in words
    return JobState(job, "RUNNING" if alive else "GONE", "", submission.host, alive)


def _heard(stage: Path) -> float:
    """When the newest attempt of a stage last said anything, in seconds since 1970; 0: never."""
    try:
        newest_attempt = max((stage / "attempts").iterdir(), key=lambda path: path.name)
        return max(path.stat().st_mtime for path in newest_attempt.iterdir())
    except (OSError, ValueError):
        return 0.0


def _elements(array: Array, number: str | None) -> list[str] | None:
    """The array's jobs; None while its number is not known."""
    if number is None:
        return None
    known = replace(array, job=number)
    return [job for _, job in known.elements()] or [number]


@dataclass(frozen=True)
class _Line:
    name: str
    base: str
    state: JobState


def _squeue(arrays: Sequence[Array]) -> tuple[list[_Line] | None, str]:
    """What the controller still knows, jobs that ended some minutes ago included.

    By name: of a number that it no longer knows, `squeue --jobs` says nothing but an error.
    """
    words = ["squeue", "--noheader", "--array", "--states=all", "--format=%F|%K|%T|%N|%j|%r"]
    out, said = _call([*words, "--name=" + ",".join(array.name for array in arrays)])
    return (None if out is None else [line for text in out if (line := _listed(text))]), said


def _listed(text: str) -> _Line | None:
    parts = text.split("|", 5)
    if len(parts) < 6:
        return None
    base, index, state, node, name, reason = (part.strip() for part in parts)
    job = f"{base}_{index}" if index.isdecimal() else base
    reason = "" if reason == "None" else reason
    return _Line(name, base, JobState(job, state, reason, node, state not in OVER))


def _sacct(
    arrays: Sequence[Array], numbers: Mapping[str, str], since: float
) -> tuple[dict[str, JobState] | None, dict[str, str], str]:
    """(state by element, number by name, error) of what accounting knows."""
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(max(0.0, since - 86_400)))
    words = ["sacct", "--noheader", "--parsable2", "--allusers", f"--starttime={start}"]
    words.append("--format=JobID,State,ExitCode,NodeList,JobName,Reason")
    if all(array.name in numbers for array in arrays):
        words.append("--jobs=" + ",".join(numbers[array.name] for array in arrays))
    else:
        words.append("--name=" + ",".join(array.name for array in arrays))
    out, said = _call(words)
    if out is None:
        return None, {}, said
    jobs: dict[str, JobState] = {}
    names: dict[str, str] = {}
    for text in out:
        parts = text.split("|", 5)
        if len(parts) < 6:
            continue
        whole, step, _ = parts[0].partition(".")
        if step:
            # the out-of-memory killer may be told of a step alone
            if parts[1] == "OUT_OF_MEMORY" and whole in jobs and jobs[whole].state == "FAILED":
                jobs[whole] = replace(jobs[whole], state="OUT_OF_MEMORY")
            continue
        names[parts[4]] = whole.partition("_")[0]
        for job in _expand(whole):
            jobs[job] = _accounted(job, parts[1], parts[2], parts[3], parts[5])
    return jobs, names, ""


def _accounted(job: str, state: str, exit_: str, node: str, reason: str) -> JobState:
    word, _, rest = state.partition(" ")
    if word == "CANCELLED":
        reason = f"by {_user(rest.removeprefix('by '))}" if rest.startswith("by ") else ""
    reason = "" if reason == "None" else reason
    node = "" if node == "None assigned" else node
    return JobState(job, word, reason, node, word not in OVER, exit_)


def _user(number: str) -> str:
    try:
        return pwd.getpwuid(int(number)).pw_name
    except (ValueError, KeyError, OverflowError):
        return f"user {number}"


def _expand(job: str) -> list[str]:
    """12_[0-2,5%4], as accounting writes elements that still wait, is 12_0, 12_1, 12_2, 12_5."""
    match = re.fullmatch(r"(\d+)_\[([\d,:-]+)(?:%\d+)?\]", job)
    if match is None:
        return [job]
    found: list[str] = []
    for part in match[2].split(","):
        first, _, rest = part.partition("-")
        last, _, stride = rest.partition(":")
        indices = range(int(first), int(last or first) + 1, int(stride or 1))
        found += [f"{match[1]}_{index}" for index in indices]
    return found


def _call(words: Sequence[str]) -> tuple[list[str] | None, str]:
    """(lines of output, "") of a command, or (None, why there are none)."""
    # the user's own defaults for these commands would filter or format what is read here
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SQUEUE_", "SACCT_"))}
    try:
        done = subprocess.run(
            words, capture_output=True, timeout=TIMEOUT_S, env=env, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return None, f"{words[0]}: nothing in {TIMEOUT_S:g} s"
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return None, f"{words[0]}: {'not installed here' if missing else error.strerror}"
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return None, lines[-1].strip() if lines else f"{words[0]}: exit code {done.returncode}"
    return done.stdout.decode(errors="replace").splitlines(), ""
