"""Paths of a stage's files in the run root.

RUNS/<stage id>/stage.json              its resolved recipe, kind and parent
                attempts/0001/          one attempt (mkdir lets one process only make it)
                    alive.json          its process; touched while that runs
                    attempt.json        provenance
                    metrics.jsonl       its part of the journal
                    marks.json          the journal's state at each of its last checkpoints
                    ended.json          how it ended, if it could write this
                checkpoints/            step-00000390-<digest>.pt
                pictures/               a few predictions beside the truth: see store/pictures.py
                precision_recall.json   a detector's curves: see store/precision_recall.py
                result.json             the outcome, and the journal's state then; a stage with
                                        this file is done
RUNS/aside/<stage id>~1/                a stale stage that was run again
RUNS/.confirmed                         long plans that the user agreed to: app/confirmed.py
RUNS/.checked                           stages found valid: see store/validity_cache.py
RUNS/submissions/<id>.json              what was submitted to a launcher: see store/submission.py
                 <id>/                  its scripts, pickles and logs
RUNS/sweeps/NAME.yaml               the ablation recipe of a sweep: see harness/app/sweeping.py
RUNS/.code/<digest>/                    the code that its jobs run
RUNS/.features/<digest>.f32             features that evaluations share: see store/features.py
RUNS/.inputs/<digest>.json              fingerprints of data and weights: see harness/inputs.py
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.spec.registry import declared, task_of
from harness.store import atomic, version

NAME = re.compile(r"[^/\\\0\s.~][^/\\\0\s]*")
"""A valid stage name: one that cannot lead to another folder."""

OWN_NAME = re.compile(r".+\.[a-z][a-z0-9_=]*-[0-9a-f]{6,}")
"""Names of this harness's stages: run, kind and digest."""

_PERCENT = re.compile(r"/(top\d+|mean_per_class|validation|m?iou|accuracy)(@|$)")
"""Names of accuracies, which are such also where no installed package declares them."""

SHOWN = 40
"""Characters of a wrong value that a message shows."""

IN_RUN_ROOT = (
    "a run's files must be in its run root: replace the link by the file or folder, or name the "
    "other run root with --runs"
)


@dataclass(frozen=True)
class StageFolder:
    """The folder of one stage; its name is the stage's id."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the folder, other ones once the stage was set aside and begun again;
        None if there is no folder."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def result(self) -> dict[str, Any] | None:
        """The content of result.json, None if there is none yet.

        Raises:
            StoreError: result.json is damaged.
        """
        found = atomic.read_json(self.path / "result.json")
        if found is None:
            return None
        if why := why_no_result(found):
            raise StoreError(f"{self.path / 'result.json'}: {why}; move it away and run again")
        return dict(found)

    @property
    def begun(self) -> bool:
        """Whether there is a stage.json; without access to the folder, whether its name is a
        stage's."""
        try:
            (self.path / "stage.json").stat()
        except PermissionError:
            return OWN_NAME.fullmatch(self.id) is not None
        except OSError:
            return False
        return True

    @property
    def described(self) -> dict[str, Any] | None:
        """stage.json: {"id", "kind", "recipe", "parent", ...}, migrated from an older version if
        there is a migration path; None before the first attempt.

        Raises:
            StoreError: stage.json is damaged, or of a newer version of the harness.
        """
        path = self.path / "stage.json"
        found = atomic.read_json(path)
        if found is None:
            return None
        if not isinstance(found, dict):
            raise StoreError(f"{path}: not a stage; move the folder away")
        version.refuse_newer(found, version.STAGE, path)
        return version.migrate(found)

    @property
    def parent(self) -> StageFolder | None:
        """The stage whose output this one reads, in the same run root; None if it reads none.

        Raises:
            StoreError: stage.json is damaged, or its parent is not a stage.
        """
        named = (self.described or {}).get("parent")
        if named is None:
            return None
        if not is_name(named):
            raise StoreError(
                f"{self.path / 'stage.json'}: its parent is not a stage; move the folder"
            )
        return StageFolder(self.path.parent / named)

    def refuse_links(self) -> None:
        """Raise a StoreError if the folder, or a file or folder of the stage in it, is a symbolic
        link: a run reads and writes only in its run root."""
        refuse_link(self.path)
        for folder in (self.path, self.path / "attempts"):
            for each in _listed(folder):
                refuse_link(Path(each.path), each.is_symlink())
                if folder != self.path:
                    for file in _listed(Path(each.path)):
                        refuse_link(Path(file.path), file.is_symlink())

    def attempts(self) -> list[Path]:
        """The attempts' folders, oldest first.

        Raises:
            StoreError: the folder cannot be read.
        """
        try:
            names = [p for p in (self.path / "attempts").iterdir() if re.fullmatch(r"\d+", p.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise atomic.unread(error, self.path / "attempts") from error
        return sorted(names, key=lambda p: int(p.name))

    def set_aside(self) -> Path:
        """Move the folder to RUNS/aside/, under its name and a number; nothing is deleted.

        Raises:
            DiskError: it cannot be moved.
        """
        aside = self.path.parent / "aside"
        refuse_link(aside)
        try:
            aside.mkdir(exist_ok=True)
            before = [p.name.removeprefix(f"{self.id}~") for p in aside.iterdir()]
            number = max((int(n) for n in before if n.isdecimal()), default=0) + 1
            target = aside / f"{self.id}~{number}"
            self.path.rename(target)
        except OSError as error:
            raise atomic.write_error(error, self.path) from error
        return target

    def put_back(self, aside: Path) -> None:
        """Undo `set_aside`, which returned `aside`; a stage that was started here since stays
        unchanged.

        Raises:
            StoreError: it cannot be moved.
        """
        if self.attempts():
            return
        try:
            (self.path / "stage.json").unlink(missing_ok=True)
            for folder in (self.path / "attempts", self.checkpoints, self.path):
                if folder.exists():
                    folder.rmdir()
            aside.rename(self.path)
        except OSError as error:
            raise atomic.write_error(error, aside) from error

    def create(self, description: dict[str, Any]) -> None:
        """Make the folder if it is missing, and write stage.json if its content changed: settings
        that the id does not cover (cadences, targets) may differ from the last attempt.

        Raises:
            StoreError: the folder cannot be made, or is a symbolic link.
        """
        self.refuse_links()
        try:
            (self.path / "attempts").mkdir(parents=True, exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
        except OSError as error:
            raise atomic.write_error(error, self.path, "--runs") from error
        if self.described != description:
            atomic.write_json(self.path / "stage.json", description)


def refuse_link(path: Path, is_link: bool | None = None, *, belongs: str = IN_RUN_ROOT) -> None:
    """Raise a StoreError if `path` is a symbolic link.

    Args:
        is_link: whether it is one, if known.
        belongs: text for the message: where the files belong, and what to do instead.
    """
    if path.is_symlink() if is_link is None else is_link:
        target = os.readlink(path)  # noqa: PTH115 - the link's text, which is not resolved
        raise StoreError(f"{path}: a link to {target}; {belongs}")


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    """The folder's entries; none if it cannot be read, as then it cannot be used either."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def why_no_result(found: object) -> str:
    """Why `found` is not a stage's outcome; "" if it is one.

    Each of its numbers must be finite, each accuracy a percentage, and each reported metric within
    its bounds.
    """
    if not isinstance(found, dict) or "state" not in found:
        return "not a result"
    values = found.get("values", {})
    if not isinstance(values, dict):
        return "not a result"
    return next(filter(None, (why_impossible(*each) for each in values.items())), "")


def why_impossible(name: str, value: object) -> str:
    """Why `value` is impossible for the metric `name`; "" if it is possible."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(value) < 1e300:  # type: ignore[arg-type]  # false for NaN
        return f"{name} is {shown(value)}, not a number"
    if is_accuracy(name) and not 0 <= value <= 100:  # type: ignore[operator]
        return f"{name} is {shown(value)}, not an accuracy in percent"
    metric = declared(name)
    reported = metric is not None and name.partition("@")[0] in task_of()
    if metric is not None and reported and not metric.possible(value):  # type: ignore[arg-type]
        ends = (("at least", metric.least), ("at most", metric.most))
        bounds = " and ".join(f"{word} {end:g}" for word, end in ends if end is not None)
        return f"{name} is {shown(value)}, but must be {bounds}"
    return ""


def shown(value: object) -> str:
    """A wrong value as a message shows it."""
    return json.dumps(value)[:SHOWN]


def is_accuracy(name: str) -> bool:
    """Whether it is a metric from 0 to 100 percent, or a variant of one."""
    if (metric := declared(name)) is not None:
        return (metric.least, metric.most) == (0, 100)
    return _PERCENT.search(name) is not None


def may_be_shown(name: str, value: object) -> bool:
    """Whether a run can have measured it: a loss may be infinite or NaN, an accuracy must be a
    percentage."""
    return not is_accuracy(name) or not why_impossible(name, value)


def is_name(value: object) -> bool:
    """Whether `value` can be a stage's id: a name that cannot lead to another folder."""
    return isinstance(value, str) and len(value) <= 250 and NAME.fullmatch(value) is not None


def stage_folder(runs: Path, stage_id: str) -> StageFolder:
    """The folder of the stage `stage_id` under the run root `runs`."""
    return StageFolder(runs / stage_id)
