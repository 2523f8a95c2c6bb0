"""The machine: where data and runs lie and what computes. Never part of a run's identity.

Each setting is taken from the command line, else the environment, else the site file, else a
default. The site file is ~/.config/moco-harness/site.yaml, or what --site names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from harness.errors import RecipeError
from harness.recipe.section import Section


class SiteFile(Section):
    """What a site file may say."""

    data: str | None = None
    """Data root: CIFAR's and STL-10's files, ImageFolder's folders. ~ is the home folder."""
    runs: str | None = None
    """Run root: every run gets a folder there."""
    device: str | None = None
    """auto (default), cpu, cuda, cuda:1, ..."""
    processes: Annotated[int, Field(ge=1)] = 1
    """Processes that share a run on this machine: its GPUs."""
    ask_above_hours: float = 12.0
    """`run` asks before it begins more hours of work than this."""


@dataclass(frozen=True)
class Site:
    """The machine in use."""

    data: Path
    runs: Path
    device: str
    processes: int
    ask_above_hours: float


def _config() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "moco-harness" / "site.yaml"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "moco-harness" / "data"


def load_site(
    *,
    data: Path | None = None,
    runs: Path | None = None,
    device: str | None = None,
    processes: int | None = None,
    site: Path | None = None,
) -> Site:
    """The machine in use, from the command line's options and what stands behind them.

    Raises:
        RecipeError: the site file cannot be accepted, or the one that was named does not exist.
    """
    from harness.recipe.load import check
    from harness.recipe.yaml_source import read

    path = site or _config()
    said = check(SiteFile, read(path)) if site is not None or path.exists() else SiteFile()
    env = os.environ.get
    found_data = data or env("MOCO_HARNESS_DATA") or said.data or _cache()
    found_runs = runs or env("MOCO_HARNESS_RUNS") or said.runs or "runs"
    return Site(
        data=_expanded(found_data),
        runs=_expanded(found_runs),
        device=device or env("MOCO_HARNESS_DEVICE") or said.device or "auto",
        processes=processes or said.processes,
        ask_above_hours=said.ask_above_hours,
    )


def _expanded(path: Path | str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise RecipeError(f"{path}: there is no such home folder; write the path out") from None
