"""Query job states from SLURM: one squeue and, for jobs that ended, one sacct, for each
`clients.AT_ONCE` arrays.

squeue shows the controller's state, which wins while it lists a job as alive. Accounting lags by
some seconds and may be absent; it adds how a job ended, and who cancelled it.
"""

from __future__ import annotations

import pwd
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.launch.job_states import JobState, is_live, meaning
from harness.launch.slurm import clients
from harness.launch.slurm.clients import Cluster
from harness.store.submission import Array

_MAY_COME_BACK = frozenset(("NODE_FAIL", "PREEMPTED", "BOOT_FAIL"))
"""States of jobs that are over which accounting also shows for one about to be requeued."""


HURRY_S = 2.0
"""Seconds for accounting if the controller used up its own time limit."""
AGAIN_S = 30.0
"""Seconds before a cluster that did not answer is asked for its name again."""


@dataclass(frozen=True)
class QueueAnswer:
    """SLURM's answer to one query."""

    jobs: dict[str, JobState] = field(default_factory=dict)
    """By job or array element."""
    numbers: dict[str, str] = field(default_factory=dict)
    """Array job number by job name, for every name that SLURM lists."""
    controller: bool = False
    """squeue answered."""
    notes: tuple[str, ...] = ()
    """Clients that got no answer, in sentences for a person."""


class Queue:
    """Queries SLURM; remembers which jobs are over."""

    def __init__(self) -> None:
        self._over: dict[str, JobState] = {}
        self._cluster = Cluster("")
        self._asked = -AGAIN_S

    @property
    def cluster(self) -> Cluster:
        """The cluster that is queried. If it did not answer it is asked again, but not at once:
        each query may take some seconds."""
        if not self._cluster.name and time.monotonic() - self._asked > AGAIN_S:
            self._cluster = clients.cluster()
            self._asked = time.monotonic()
        return self._cluster

    def ask(self, arrays: Iterable[Array], since: float) -> QueueAnswer:
        """The state of every element of `arrays`; arrays without a number are searched by name.

        Args:
            since: seconds since 1970; none of them was submitted earlier. SLURM reuses job numbers
                after some years.
        """
        wanted = list(arrays)
        if not wanted:
            return QueueAnswer(controller=True)
        notes = []
        began = time.monotonic()
        listed, said = _squeue(wanted)
        late = listed is None and time.monotonic() - began >= clients.TIMEOUT_S
        if listed is None:
            notes.append(f"the SLURM controller does not answer ({said.error})")
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
        answered: dict[str, JobState] | None = {}
        if open_:
            limit = HURRY_S if late else None  # munge may block both
            answered, names, why = (
                (None, dict[str, str](), said.error)
                if said.no_munge
                else _sacct(open_, numbers, since, limit)
            )
            numbers |= {name: base for name, base in names.items() if name not in numbers}
            if answered is None:
                notes.append(f"SLURM's accounting does not answer ({why})")
        for array in wanted:
            for element in _elements(array, numbers.get(array.name)) or ():
                jobs[element] = self._judge(
                    element, jobs.get(element), answered, listed is not None
                )
        return QueueAnswer(jobs, numbers, listed is not None, tuple(notes))

    def _judge(
        self,
        element: str,
        here: JobState | None,
        answered: Mapping[str, JobState] | None,
        controller: bool,
    ) -> JobState:
        """One element's state, from squeue (`here`) and sacct (`told`)."""
        if here is not None and here.live:
            self._over.pop(element, None)
            return here
        if element in self._over:
            return self._over[element]
        there = (answered or {}).get(element)
        if there is not None and there.state == "UNKNOWN":
            return there
        if there is not None and there.phase == "over":
            if controller or there.state not in _MAY_COME_BACK:
                # squeue's reason has more detail, except who cancelled
                reason = there.reason or (here.reason if here else "")
                there = replace(there, reason=reason)
                if there.exit:
                    self._over[element] = there
                return there
            return replace(there, state="UNKNOWN")
        if here is not None:  # the controller says it is over; accounting lags or is absent
            if answered is None:
                self._over[element] = here  # the controller forgets it after some minutes
            return here
        if controller:
            return JobState(element, "GONE", there.state if there else "")
        return replace(there, live=True, late=True) if there else JobState(element, "UNKNOWN")


MOST_ASKED = 8
"""Maximum number of nodes, or node lists, in one query."""


def unresponsive(nodes: Iterable[str]) -> frozenset[str]:
    """The nodes (or lists of nodes, n[1-2]) that do not answer the controller; a list counts if one
    of its nodes does not answer."""
    found = set()
    for node in sorted({node for node in nodes if node})[:MOST_ASKED]:
        said = clients.ask("sinfo", "--noheader", f"--nodes={node}", "--format=%T")
        if any(state.endswith("*") or state.startswith("down") for state in said.lines):
            found.add(node)
    return frozenset(found)


def _elements(array: Array, number: str | None) -> list[str] | None:
    """The array's jobs; None if its number is not known."""
    if number is None:
        return None
    known = replace(array, job=number)
    return [job for _, job in known.elements()] or [number]


@dataclass(frozen=True)
class _Line:
    name: str
    base: str
    state: JobState


def _squeue(arrays: Sequence[Array]) -> tuple[list[_Line] | None, clients.ClientOutput]:
    """Jobs that the controller still lists, including those that ended some minutes ago.

    Searched by name: for a number that it no longer knows, `squeue --jobs` returns only an error.
    """
    words = ["squeue", "--noheader", "--array", "--states=all", "--format=%F|%K|%T|%N|%j|%r"]
    names = {array.name: array.job for array in arrays}
    said, texts = clients.ClientOutput(), list[str]()
    for some in clients.portions(list(names)):
        said = clients.ask(*words, "--name=" + ",".join(some))
        if said.error:
            return None, said
        texts += said.lines
    lines = [line for text in texts if (line := _listed(text)) and line.name in names]
    return [line for line in lines if names[line.name] in (None, line.base)], said


def _listed(text: str) -> _Line | None:
    parts = text.split("|", 5)
    if len(parts) < 6:
        return None
    base, index, state, node, name, reason = (part.strip() for part in parts)
    job = f"{base}_{index}" if index.isdecimal() else base
    reason = "" if reason == "None" else reason
    return _Line(name, base, _state(job, state, reason, node))


def _sacct(
    arrays: Sequence[Array], numbers: Mapping[str, str], since: float, limit: float | None = None
) -> tuple[dict[str, JobState] | None, dict[str, str], str]:
    """(state by element, number by name, error) from accounting, within `limit` seconds a call.

    A number that it lists under another name is another job's: the cluster was set up anew, or it
    is another cluster.
    """
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(max(0.0, since - 86_400)))
    words = ["sacct", "--noheader", "--parsable2", "--allusers", f"--starttime={start}"]
    words.append("--format=JobID,State,ExitCode,NodeList,JobName,Reason")
    option, asked = "--name=", [array.name for array in arrays]
    if all(name in numbers for name in asked):
        option, asked = "--jobs=", [numbers[name] for name in asked]
    texts: list[str] = []
    for some in clients.portions(asked):
        said = clients.ask(*words, option + ",".join(some), timeout=limit)
        if said.error:
            return None, {}, said.error
        texts += said.lines
    own = {array.name for array in arrays}
    jobs: dict[str, JobState] = {}
    names: dict[str, str] = {}
    for text in texts:
        parts = text.split("|", 5)
        if len(parts) < 6:
            continue
        whole, step, _ = parts[0].partition(".")
        if step:
            # OUT_OF_MEMORY may appear on a step only
            if parts[1] == "OUT_OF_MEMORY" and whole in jobs and jobs[whole].state == "FAILED":
                jobs[whole] = replace(jobs[whole], state="OUT_OF_MEMORY")
            continue
        if parts[4] not in own:
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
    if word == "FAILED" and exit_ == "0:0":
        exit_ = ""  # accounting recorded the start late, and has no exit code yet
    return _state(job, word, reason, node, exit_)


def _state(job: str, word: str, reason: str, node: str, exit_: str = "") -> JobState:
    if meaning(word).phase == "elsewhere":
        return JobState(job, "UNKNOWN", meaning(word).words, node)
    return JobState(job, word, reason, node, is_live(word), exit_)


def _user(number: str) -> str:
    try:
        return pwd.getpwuid(int(number)).pw_name
    except (ValueError, KeyError, OverflowError):
        return f"user {number}"


def _expand(job: str) -> list[str]:
    """The elements of 12_[0-2,5%4], accounting's form for waiting ones: 12_0, 12_1, 12_2, 12_5."""
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
