"""Site: the machine's data root, run root and device. Never part of a run's identity.

Each setting is taken from the command line, else the environment, else the site file, else a
default. The site file is ~/.config/moco-harness/site.yaml, or the one that --site names.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import create_model, model_validator

from harness.backend import Backend, Count, backends, is_line
from harness.data_roots import AnyRoot, each, joined, parsed
from harness.errors import RecipeError, cannot_be_read
from harness.recipe.section import Section, refuse

DEVICE = re.compile(r"auto|cpu|cuda(:[0-9]{1,3})?")
"""The form of a device's name. Whether the device exists is checked by a run."""

NO_DEVICE = "unknown device; use auto, cpu, cuda, or e.g. cuda:1"


class SiteFile(Section):
    """What a site file may say."""

    data: str | tuple[str, ...] | None = None
    """Data root: the data sets' files and folders. ~ is the home folder. Of several roots the first
    that holds a data set has it; a download goes to the first."""
    runs: str | None = None
    """Run root: every run gets a folder there."""
    device: str | None = None
    """auto (default), cpu, cuda, cuda:1, ..."""
    processes: Count = 1
    """Processes that share a run on this machine: its GPUs."""
    at_once: Count = 1
    """Stages that run at once on this machine, each on its share of the cores; on a CPU only."""
    ask_above_hours: float = 12.0
    """`run` asks before it begins more hours of work than this."""

    @property
    def data_roots(self) -> tuple[str, ...]:
        """The data roots; () if it names none."""
        return (self.data,) if isinstance(self.data, str) else self.data or ()

    @property
    def backend(self) -> Backend | None:
        """The section of the launcher for the stages; None: they run in this process."""
        return next(iter(self._backends().values()), None)

    def _backends(self) -> dict[str, Backend]:
        said = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: section for name, section in said if isinstance(section, Backend)}

    @model_validator(mode="after")
    def _known_device(self) -> SiteFile:
        if self.device is not None and not DEVICE.fullmatch(self.device):
            refuse([("device", NO_DEVICE)])
        roots = [("runs", self.runs), *(("data", root) for root in self.data_roots)]
        refuse(
            (name, "needs a folder's name, one line without control characters")
            for name, root in roots
            if root is not None and not is_line(root)
        )
        if self.data == ():
            refuse([("data", "needs at least one folder")])
        if len(several := list(self._backends())) > 1:
            refuse(
                [
                    (
                        several[1],
                        f"only one launcher can have a section, and {several[0]} is given already",
                    )
                ]
            )
        return self


@functools.cache
def site_file() -> type[SiteFile]:
    """SiteFile with a section for each declared launcher that has one. A file may have at most one
    of them. A launcher's module may import this module."""
    sections: dict[str, Any] = {k: (section | None, None) for k, section in backends().items()}
    return create_model("SiteFile", __base__=SiteFile, **sections)


@dataclass(frozen=True)
class Site:
    """The machine in use."""

    data: AnyRoot
    runs: Path
    device: str
    processes: int
    ask_above_hours: float
    backend: Backend | None = None
    """The site file's section of the launcher for the stages; None: they run in this process."""
    file: Path | None = None
    """The site file that the command line named."""
    read: Path | None = field(default=None, compare=False)
    """The site file that was read; None: there is none."""
    notes: tuple[str, ...] = ()
    """Unexpected facts about the site, in sentences."""
    at_once: int = 1
    """Stages that run at once on this machine."""


def home() -> Path | None:
    """The user's home folder; None if there is none: no HOME, and no entry in the passwd file."""
    with contextlib.suppress(RuntimeError, KeyError, OSError):
        found = Path.home()
        return found if found.is_absolute() else None
    return None


def _config() -> Path | None:
    """The default site file; None without a home."""
    if base := os.environ.get("XDG_CONFIG_HOME"):
        return _expanded(base) / "moco-harness" / "site.yaml"
    at = home()
    return at / ".config" / "moco-harness" / "site.yaml" if at is not None else None


def _cache() -> Path:
    if base := os.environ.get("XDG_CACHE_HOME"):
        return _expanded(base) / "moco-harness" / "data"
    at = home()
    if at is None:
        return Path(os.environ.get("TMPDIR") or "/tmp") / f"moco-harness-{os.getuid()}" / "data"
    return at / ".cache" / "moco-harness" / "data"


def _default(notes: list[str]) -> Path | None:
    """The default site file if it exists. If its folder cannot be read, a note says so."""
    path = _config()
    if path is None:
        return None
    try:
        path.stat()
        with path.open("rb"):
            return path
    except OSError as error:
        if not isinstance(error, PermissionError) and path.is_symlink():
            return path  # its reader reports what is wrong with it
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            notes.append(f"site file not used: {cannot_be_read(error, path)}")
    return None


def load_site(
    *,
    data: Path | str | Sequence[Path | str] | None = None,
    runs: Path | str | None = None,
    device: str | None = None,
    processes: int | None = None,
    at_once: int | None = None,
    site: Path | str | None = None,
) -> Site:
    """The machine in use, from these arguments (the command line's options), the environment, the
    site file and defaults.

    Args:
        data: the data root, or several. Of several the first that holds a data set has it.
        runs: the run root. A relative path is relative to the working folder of each call.
        device: auto, cpu, cuda, or cuda:N.
        processes: processes that share a run on this machine, at least 1: its GPUs.
        at_once: stages that run at once on this machine, at least 1.
        site: the site file; None: the user's, if there is one.

    Raises:
        RecipeError: a value, or the site file, cannot be accepted, or the one that was named does
            not exist.
    """
    from harness.recipe.load import check
    from harness.recipe.yaml_source import read

    notes: list[str] = []
    for counted, count in (("processes", processes), ("at_once", at_once)):
        if count is not None and count < 1:
            raise RecipeError(f"{counted} {count}: needs 1 or more")
    named_file = None if site is None else Path(site)
    path = named_file or _default(notes)
    said = check(site_file(), read(path)) if path is not None else SiteFile()
    env = os.environ.get
    for source, named in (
        ("--device ", device),
        ("MOCO_HARNESS_DEVICE=", env("MOCO_HARNESS_DEVICE")),
    ):
        if named and not DEVICE.fullmatch(named):
            raise RecipeError(f"{source}{named}: {NO_DEVICE}")
    given = [data] if isinstance(data, Path | str) else [*(data or ())]
    in_env = env("MOCO_HARNESS_DATA")
    found_data = [root for one in given or filter(None, [in_env]) for root in parsed(str(one))]
    found_runs = runs or env("MOCO_HARNESS_RUNS") or said.runs or "runs"
    return Site(
        data=_roots(found_data or said.data_roots or [_cache()]),
        runs=_expanded(found_runs),
        device=device or env("MOCO_HARNESS_DEVICE") or said.device or "auto",
        processes=processes or said.processes,
        ask_above_hours=said.ask_above_hours,
        backend=said.backend,
        file=named_file,
        read=path,
        notes=tuple(notes),
        at_once=at_once or said.at_once,
    )


def _roots(paths: Iterable[Path | str]) -> AnyRoot:
    """Several roots are handed to jobs as one text between colons, so no name may have one."""
    found = joined(_expanded(path) for path in paths)
    if len(several := each(found)) > 1 and (bad := [p for p in several if os.pathsep in str(p)]):
        raise RecipeError(
            f"data root {bad[0]}: of several data roots none may have {os.pathsep!r} in its name; "
            "rename it, or make a link to it"
        )
    return found


def _expanded(path: Path | str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise RecipeError(f"{path}: no such home folder; write the whole path") from None
