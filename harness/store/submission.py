"""Submissions: what was submitted to a launcher, RUNS/submissions/<id>.json, one file per `run`.

The record is written before the first job is submitted, and again after each job. If the submitter
dies, the record still has the names of its jobs. Everything that submits holds the `claim` of the
run root, so two processes submit one after the other.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import Busy, StoreError
from harness.store import atomic, provenance, version
from harness.store.layout import is_name, refuse_link
from harness.store.liveness import Heartbeat, holder, identity, is_alive

SCHEMA = 1
"""Version of the record; raised when the meaning of a key changes."""
JOB = re.compile(r"[0-9]{1,18}(_[0-9]{1,9})?")
"""The number of a job, of an array's element, or of a process."""
CLAIM_WAIT_S = 300.0
"""Seconds that a submitter waits for another live submitter."""


@dataclass(frozen=True)
class Array:
    """A job array with one element per stage, or a single job."""

    name: str
    """The name of its jobs, unique to this array."""
    kind: str
    """A task's name, or report; all: one job that does everything in turn."""
    stages: tuple[str, ...]
    """Stage ids in the order of the elements; empty for a report."""
    after: tuple[int, ...] = ()
    """Indices of the submission's arrays that this one waits for."""
    job: str | None = None
    """The array's job number; None: not submitted, or not known."""
    waits: tuple[str, ...] = ()
    """Jobs of earlier submissions that this one waits for."""

    def element(self, index: int) -> str | None:
        """The job of stage number `index`: 123_4, or 123 if it is the only one."""
        if self.job is None or len(self.stages) <= 1 or self.kind == "all":
            return self.job
        return f"{self.job}_{index}"

    def elements(self) -> list[tuple[str, str]]:
        """(stage id, job) of each stage; empty while no job is known."""
        pairs = ((stage, self.element(n)) for n, stage in enumerate(self.stages))
        return [(stage, job) for stage, job in pairs if job is not None]


@dataclass(frozen=True)
class Submission:
    """One submission, as in its record."""

    id: str
    on: str
    """The launcher's name."""
    user: str
    host: str
    t: float
    """When, in seconds since 1970."""
    recipe: str
    """The recipe's path as the user gave it."""
    sets: tuple[str, ...]
    """The --set options given with it."""
    name: str
    """The plan's name."""
    code: str
    """The code snapshot that the jobs import; "" if they import the submitter's checkout."""
    arrays: tuple[Array, ...]
    cluster: str = ""
    """The cluster that has the jobs; "" if there is only one, or its name is not known."""
    submitter: Mapping[str, Any] = field(default_factory=dict)
    """The process that submitted, as in alive.json."""
    command: tuple[str, ...] = ()
    """The command line of that process."""
    folder: str = ""
    """Its working folder."""

    @property
    def stages(self) -> frozenset[str]:
        """The ids of all stages that it submitted."""
        return frozenset(stage for array in self.arrays for stage in array.stages)

    def job(self, index: int, job: str) -> Submission:
        """A copy in which array number `index` has the job `job`."""
        arrays = list(self.arrays)
        arrays[index] = replace(arrays[index], job=job)
        return replace(self, arrays=tuple(arrays))


def folder(runs: Path, submission_id: str) -> Path:
    """Folder of a submission's scripts, pickles and logs."""
    return runs / "submissions" / submission_id


def new(
    submission_id: str,
    *,
    on: str,
    recipe: str,
    sets: Iterable[str],
    name: str,
    code: str,
    arrays: Iterable[Array],
    cluster: str = "",
) -> Submission:
    """A new submission by this process, dated now, with an id from `new_id`."""
    invoked = provenance.invocation()
    return Submission(
        id=submission_id,
        on=on,
        user=user(),
        host=socket.gethostname(),
        t=round(time.time()),
        recipe=recipe,
        sets=tuple(sets),
        name=name,
        code=code,
        arrays=tuple(arrays),
        cluster=cluster,
        submitter=identity(),
        command=tuple(invoked["command"]),
        folder=invoked["folder"],
    )


def new_id() -> str:
    """A unique submission id; ids made within one second sort in the order of creation."""
    now = time.time()
    when = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return f"{when}-{int(now % 1 * 4096):03x}{secrets.randbelow(4096):03x}"


def user() -> str:
    """The name of this process's user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def write(runs: Path, submission: Submission) -> None:
    """Write the record.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """
    path = _root(runs) / f"{submission.id}.json"
    atomic.write_json(path, {"schema": SCHEMA, **asdict(submission)})


def everything(runs: Path) -> list[Submission]:
    """All submissions of the run root, oldest first.

    Raises:
        StoreError: a record is damaged, or the folder cannot be read.
    """
    root = runs / "submissions"
    try:
        paths = sorted(p for p in root.iterdir() if re.fullmatch(r"\d{8}-.*\.json", p.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise atomic.unread(error, root) from error
    read = [_read(path) for path in paths]
    return sorted((s for s in read if s is not None), key=lambda s: (s.t, s.id))


def read(runs: Path, submission_id: str) -> Submission:
    """The record of one submission.

    Raises:
        StoreError: there is none, or it is damaged.
    """
    path = runs / "submissions" / f"{submission_id}.json"
    if (found := _read(path)) is None:
        raise StoreError(f"{path}: the record of this submission is missing; run again")
    return found


def _read(path: Path) -> Submission | None:
    found = atomic.read_json(path)
    if found is None:  # deleted meanwhile
        return None
    try:
        version.refuse_newer(found, SCHEMA, path)
        if found.pop("schema") != SCHEMA:
            raise ValueError("of another version of the harness")
        arrays = tuple(Array(**_tuples(array)) for array in found.pop("arrays"))
        made = Submission(**_tuples(found), arrays=arrays)
        if wrong := next(_wrong(made, path), None):
            raise ValueError(wrong)
        return made
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise StoreError(f"{path}: not a submission ({error}); move it away") from error


def _wrong(made: Submission, path: Path) -> Iterator[str]:
    """What is invalid in a record: its values become paths and arguments of commands."""
    texts = (made.id, made.on, made.user, made.host, made.recipe, made.name, made.code)
    words = (*texts, *made.sets, *made.command, made.folder)
    if not all(isinstance(text, str) for text in words) or made.id != path.stem:
        yield "the record of another submission"
    if type(made.t) not in (int, float) or not 0 <= made.t < 2**53:
        yield f"the time {made.t}"
    if not isinstance(made.submitter, Mapping):
        yield "no user"
    for array in made.arrays:
        if not isinstance(array.name, str) or not isinstance(array.kind, str):
            yield "an array without a name"
        jobs = [job for job in (array.job, *array.waits) if job is not None]
        if not all(isinstance(job, str) and JOB.fullmatch(job) for job in jobs):
            yield f"a job without a number in {array.name}"
        if not all(map(is_name, array.stages)):
            yield f"a stage without a valid name in {array.name}"
        if not all(type(n) is int and 0 <= n < len(made.arrays) for n in array.after):
            yield f"{array.name} waits for an unknown array"


def _tuples(found: Mapping[str, Any]) -> dict[str, Any]:
    """Convert JSON's lists back to tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}


def newest(submissions: Iterable[Submission]) -> dict[str, tuple[Submission, Array, int]]:
    """By stage id: its newest submission, its array there, and its place in that array.

    `submissions` are oldest first. An array without a job counts too: it may have been submitted.
    """
    return {
        stage: (submission, array, index)
        for submission in submissions
        for array in submission.arrays
        for index, stage in enumerate(array.stages)
    }


def submitting(submission: Submission) -> bool:
    """Whether the process that made the record may still be submitting.

    On the submitter's own machine its process is checked. On other machines a record counts as
    unfinished for CLAIM_WAIT_S.
    """
    if all(array.job is not None for array in submission.arrays):
        return False
    found = is_alive(submission.submitter)
    return time.time() - submission.t < CLAIM_WAIT_S if found is None else found


def _root(runs: Path) -> Path:
    root = runs / "submissions"
    refuse_link(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise atomic.write_error(error, root, "--runs") from error
    return root


@contextlib.contextmanager
def claim(runs: Path, note: Callable[[str], object] = lambda _: None) -> Iterator[None]:
    """Be the only process that plans and submits in the run root, while the block runs.

    As for attempts, a claim is a numbered folder made by mkdir, which only one process can make. A
    dead holder's claim does not count.

    Args:
        note: called once, with a sentence, if another process has to be waited for.

    Raises:
        Busy: another live process has held the claim for CLAIM_WAIT_S.
        StoreError: the folder cannot be written.
    """
    root = _root(runs) / "claims"
    until, warned = time.monotonic() + CLAIM_WAIT_S, False
    while (mine := _take(root)) is None:
        held = _numbered(root)
        who = (holder(held[-1]) if held else None) or {"pid": "?", "host": "?"}
        by = f"process {who['pid']} on {who['host']} is submitting in {runs}"
        if time.monotonic() > until:
            raise Busy(f"{by}; wait for it or stop it, then run again")
        if not warned:
            note(f"{by}; waiting for it")
            warned = True
        time.sleep(0.2)
    beat = None
    try:
        beat = Heartbeat(mine)
        yield
    finally:
        if beat is not None:
            beat.stop()
        with contextlib.suppress(StoreError):
            atomic.write_json(mine / "ended.json", {"t": round(time.time())})


def _take(root: Path) -> Path | None:
    """Make a claim's folder and return it; None while another claim is held."""
    try:
        root.mkdir(exist_ok=True)
        before = _numbered(root)
        if before and holder(before[-1]) is not None:
            return None
        mine = root / f"{int(before[-1].name) + 1 if before else 1:06d}"
        try:
            mine.mkdir()
        except FileExistsError:
            return None
        if _numbered(root)[-1] != mine:  # others claimed and released since the last check
            mine.rmdir()
            return None
    except OSError as error:
        raise atomic.write_error(error, root) from error
    for old in before:
        shutil.rmtree(old, ignore_errors=True)
    return mine


def _numbered(root: Path) -> list[Path]:
    found = [p for p in root.iterdir() if p.name.isdecimal()]
    return sorted(found, key=lambda p: int(p.name))
