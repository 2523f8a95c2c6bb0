"""The only module that uses wandb: it opens a run, adds rows to it, and closes it.

wandb is imported when the first run is opened. Whatever fails there (not installed, refused key, no
network, a server that never answers) becomes a TrackerError within a bounded time.

All runs of a run root lie in one folder, RUNS/wandb, so that one `wandb leet` or `wandb sync` sees
them.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from harness import interpreter
from harness.errors import user_name
from harness.spec.declarations import Axis
from harness.store import atomic
from harness.store.layout import refuse_link
from harness.track.bounded import Beat, bounded
from harness.track.protocol import (
    Artifact,
    Extras,
    Metadata,
    Picture,
    Row,
    TrackedRun,
    TrackedTable,
    TrackerError,
)
from harness.track.wandb.mode import redact
from harness.track.wandb.probe import objection

T = TypeVar("T")

FOLDER = "wandb"
"""In the run root. wandb chooses this name itself, in the folder that it is given."""
BLOCK = 32768
INIT_S = 20.0
"""Seconds that W&B may take to answer before a run is mirrored offline."""
CLOSE_S = 120.0
"""Seconds that the last upload of a run may take; `sync` adds what is missing."""
CALL_S = 60.0
"""Seconds that the client may take to accept an artifact or a table."""
DELIVER_S = 300.0
"""Seconds that the upload of AT_ONCE runs that were kept offline may take."""
AT_ONCE = 10
KEPT = "offline-run-*-rank[0-9]*"
"""Folders of runs that show the use of a machine: see harness.track.machine_use."""
SERVICE_S = 15.0
"""Seconds that wandb's own process may take to end."""
DEAD = ("ConnectionResetError", "BrokenPipeError", "MailboxClosedError")
"""Errors that show that it has ended already."""
PAUSE_S = 300.0
"""Seconds during which no run is tried online, after W&B has failed."""
FOREIGN = ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_SERVICE", "WANDB_SWEEP_ID", "WANDB_NOTES")
"""Variables that describe a run other than the mirrored ones."""
DATA_DIR = "WANDB_DATA_DIR"
"""The variable that names the folder in which wandb keeps copies of artifacts' files until it has
uploaded them."""
OWN_DATA_DIRS: set[str] = set()
"""Its values that this process has set, not the user."""
GLOBAL_STEP = "global_step"
"""The logged value for training's x axis; wandb's own step only numbers the rows."""


def _bounded(action: Callable[[], T], seconds: float, what: str) -> T:
    """As `bounded`, without W&B's key in the message."""
    try:
        return bounded(action, seconds, what)
    except TrackerError as error:
        if any(f"{each}:" in str(error) for each in DEAD):
            _end_service()
        raise TrackerError(redact(str(error))) from None


def _end_service() -> None:
    """End wandb's own process: the next run starts another. An unexpected answer of a server makes
    it crash, and then wandb prints a traceback when Python exits."""
    import wandb

    with contextlib.suppress(TrackerError):
        bounded(wandb.teardown, SERVICE_S, "ending wandb")


def history(row: Row) -> dict[str, Any]:
    """A row of W&B's history, at the time at which it was measured."""
    values = {**row.values, GLOBAL_STEP: row.step}
    if row.epoch is not None:
        values["epoch"] = row.epoch
    if row.time is not None:
        values["_timestamp"] = row.time
    return values


def place(runs: Path) -> Path:
    """The folder RUNS/wandb, which takes files. wandb itself would silently write to /tmp instead.

    Raises:
        StoreError: it is a symbolic link.
        TrackerError: it takes none: it is another user's, or the disk is full.
    """
    folder = runs / FOLDER
    refuse_link(folder)
    try:
        folder.mkdir(exist_ok=True)
        probe(folder)
    except PermissionError as error:
        whose = user_name((folder if folder.exists() else runs).stat().st_uid)
        raise TrackerError(
            f"{folder}: you cannot write to it, it belongs to {whose}; ask for write access"
        ) from error
    except OSError as error:
        raise TrackerError(str(atomic.write_error(error, folder))) from error
    return folder


def probe(folder: Path) -> None:
    """Write a file as large as wandb's first block, and remove it. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-") as file:
        file.write(bytes(BLOCK))
        file.flush()


def _keep_copies_in(folder: Path) -> None:
    """Where wandb copies the files of the next artifacts to, unless the user has chosen a place."""
    if os.environ.get(DATA_DIR) in (None, *OWN_DATA_DIRS):
        OWN_DATA_DIRS.add(str(folder.absolute()))
        os.environ[DATA_DIR] = str(folder.absolute())


def _of(folder: Path, ids: Collection[str]) -> bool:
    """Whether the folder of an offline run shows a machine's use by one of the stages, and was not
    uploaded yet."""
    named = re.fullmatch(r"offline-run-\d+_\d+-(.+)-rank\d+(-offline)?(-\d+)?", folder.name)
    return named is not None and named[1] in ids and not list(folder.glob("*.synced"))


def _sync(folders: Sequence[Path]) -> None:
    command = interpreter.command("wandb", "sync", "--yes", *map(str, folders))
    env = {**interpreter.environment(), "WANDB_MODE": "online"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=DELIVER_S)
    except subprocess.TimeoutExpired:
        raise TrackerError(f"wandb sync: no answer within {DELIVER_S:.0f} s") from None
    if done.returncode or not all(list(each.glob("*.synced")) for each in folders):
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise TrackerError(redact(f"wandb sync: {said}"))


class WandbOpener:
    """Opens real runs. After failures it stops trying W&B's server for a while."""

    shows_machine_use = True

    def __init__(self, init_s: float = INIT_S, close_s: float = CLOSE_S) -> None:
        self._init_s = init_s
        self._close_s = close_s
        self._pause_until = 0.0
        self._failures = 0
        self._stuck: set[str] = set()
        self._at_exit = False

    def __call__(self, metadata: Metadata) -> TrackedRun:
        if metadata.mode == "offline":
            run = _bounded(lambda: self._init(metadata), 3 * self._init_s, "opening the run")
        else:
            run = self._online(metadata)
        return WandbRun(run, metadata, self._close_s)

    def deliver(self, runs: Path, ids: Collection[str], beat: Beat) -> int:
        """Upload with wandb's own sync what was kept offline of the use of machines.

        Raises:
            TrackerError: W&B does not answer, or the upload failed.
        """
        new = [each for each in sorted((runs / FOLDER).glob(KEPT)) if _of(each, ids)]
        if not new:
            return 0
        if why := _bounded(lambda: objection(self._init_s), 2 * self._init_s, "reaching W&B"):
            raise TrackerError(redact(why))
        for n in range(0, len(new), AT_ONCE):
            _sync(new[n : n + AT_ONCE])
            beat()
        return len(new)

    def _online(self, metadata: Metadata) -> Any:
        if time.monotonic() < self._pause_until:
            raise TrackerError("W&B failed a moment ago; the next attempt is later")
        if why := _bounded(lambda: objection(self._init_s), 2 * self._init_s, "reaching W&B"):
            self._pause_until = time.monotonic() + PAUSE_S
            raise TrackerError(redact(why))
        try:
            run = _bounded(lambda: self._init(metadata), 3 * self._init_s, "opening the run")
        except TrackerError:  # this run's, perhaps deleted, or the server's: two in a row show
            self._stuck.add(metadata.id)
            self._failures += 1
            if self._failures > 1:
                self._pause_until = time.monotonic() + PAUSE_S
            raise
        self._failures = 0
        return run

    def _init(self, metadata: Metadata) -> Any:
        runs = metadata.runs or metadata.folder.parent
        folder = place(runs)
        for name in FOREIGN:
            os.environ.pop(name, None)
        os.environ.setdefault("WANDB_SILENT", "true")
        _keep_copies_in(folder)  # else in HOME, perhaps of a node
        settings = {
            "silent": True,
            "console": "off",
            "init_timeout": self._init_s,
            "finish_timeout": self._close_s,
            "finish_timeout_raises": True,
            "disable_code": True,
            "disable_git": True,
            "disable_job_creation": True,
            "save_code": False,
            "program": "moco-harness",  # not the path of a file
            "host": "",
            "x_disable_meta": True,  # command line, user, host: the attempt's record has them
            "x_disable_machine_info": metadata.pid is None,
            "x_disable_stats": metadata.pid is None,  # they would be the follower's
            "x_save_requirements": False,
        }
        if metadata.pid is not None:
            settings["x_stats_pid"] = metadata.pid
        asked = os.environ.get("WANDB_MODE")
        os.environ["WANDB_MODE"] = metadata.mode  # wandb does not accept every spelling
        try:
            run = self._opened(metadata, runs, settings)
        finally:
            os.environ.pop("WANDB_MODE")
            if asked is not None:
                os.environ["WANDB_MODE"] = asked
        if not self._at_exit:  # after wandb's own, so that it is called before
            self._at_exit = True
            atexit.register(_end_service)
        return run

    def _opened(self, metadata: Metadata, runs: Path, settings: Mapping[str, Any]) -> Any:
        import wandb

        known = wandb.Settings.model_fields  # some are newer than the oldest supported wandb
        return wandb.init(
            id=f"{metadata.id}-offline"
            if metadata.id in self._stuck
            else metadata.id,  # wandb keeps it
            name=metadata.name,
            group=metadata.group,
            job_type=metadata.job_type,
            project=metadata.project,
            config=metadata.config,
            notes=metadata.notes or None,
            tags=list(metadata.tags),
            dir=str(runs),
            mode=metadata.mode,
            resume="allow",
            reinit="create_new",
            allow_val_change=True,
            settings=wandb.Settings(**{k: v for k, v in settings.items() if k in known}),
        )


class WandbRun(Extras):
    """A run of the installed wandb."""

    def __init__(self, run: Any, metadata: Metadata, close_s: float) -> None:
        self._run = run
        self._close_s = close_s
        self._id = metadata.id
        self._folder = Path(run.dir).parent
        online = metadata.mode == "online"
        self.known = int(run.starting_step or 0) if online else 0
        self.url = str(run.url or "") if online else ""
        run.define_metric(GLOBAL_STEP, hidden=True)
        run.define_metric("*", step_metric=GLOBAL_STEP)

    def define(self, metric: str, axis: Axis) -> None:
        self._run.define_metric(metric, step_metric="epoch" if axis == "epoch" else GLOBAL_STEP)

    def log(self, row: Row) -> None:
        self._run.log(history(row), step=row.number)

    def artifact(self, artifact: Artifact, *, made: bool) -> None:
        import wandb

        def tell() -> None:
            _keep_copies_in(self._folder)  # they go with the run
            kept = wandb.Artifact(artifact.name, artifact.kind, metadata=dict(artifact.metadata))
            for name, file in artifact.files.items():
                kept.add_file(str(file), name, skip_cache=True)
            for name, address in artifact.references.items():
                kept.add_reference(address, name)
            if made:
                self._run.log_artifact(kept)
            else:  # `use_artifact` refuses to work offline; this is what it does online
                self._run._log_artifact(kept, use_after_commit=True)

        _bounded(tell, CALL_S, f"the artifact {artifact.name}")

    def table(self, name: str, table: TrackedTable) -> None:
        import wandb

        rows = [list(row) for row in table.rows]
        made = wandb.Table(columns=list(table.columns), data=rows, allow_mixed_types=True)
        self._show(name, made)

    def pictures(self, name: str, pictures: Sequence[Picture]) -> None:
        import wandb

        shown = [wandb.Image(str(each.file), caption=each.caption) for each in pictures]
        self._show(name, shown)

    def alert(self, title: str, text: str) -> None:
        self._run.alert(title, text, level="WARN")

    def _show(self, name: str, what: object) -> None:
        """Add it to the newest row: a row of its own would be counted as one of the journal's."""

        def show() -> None:
            _keep_copies_in(self._folder)
            self._run.log({name: what}, commit=False)

        _bounded(show, CALL_S, name)

    def summarise(self, values: dict[str, Any], tags: tuple[str, ...]) -> None:
        self._run.summary.update(values)
        if tags:
            self._run.tags = (*(self._run.tags or ()), *tags)

    def close(self, *, done: bool) -> None:
        def finish() -> None:
            self._run.finish(exit_code=0 if done else 1)

        _bounded(finish, 1.5 * self._close_s, "the last upload")

    def remove_earlier(self) -> None:
        named = re.compile(rf"(offline-)?run-\d+_\d+-{re.escape(self._id)}(-offline)?(-\d+)?")
        for folder in self._folder.parent.iterdir():
            if named.fullmatch(folder.name) and folder.name != self._folder.name:
                with contextlib.suppress(OSError):  # what is left is too much, not too little
                    shutil.rmtree(folder)
