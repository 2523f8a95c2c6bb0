"""Processes of the tests, forked from one that has loaded all that a run loads.

Loading takes seconds, and a run of a test less than one. A pytest process has one such server; what
it loads is fixed when the first process starts, so all who start processes ask for the same.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

LOADED = [
    "pytest",
    "torch._dynamo",  # an optimiser imports it
    "harness.app.reporting",
    "harness.app.running",
    "harness.certify.trajectory",
    "harness.launch.here.stages",
    "harness.report.curves_figure",
    *(
        f"harness.stage.{task}"
        for task in ("finetune", "knn", "linear", "logistic", "pretrain", "segmentation")
    ),
]


def context() -> ForkServerContext:
    """What starts the processes."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(LOADED)
    return made


def start(
    function: Callable[..., object], *args: Any, said: Path, env: Mapping[str, str] | None = None
) -> ForkServerProcess:
    """A process that runs function(*args), which can be pickled, and prints into the file `said`.

    It has this process's working folder and environment variables, and those of `env`; it dies with
    this process.
    """
    work = (Path.cwd(), os.environ | (env or {}), said, function, args)
    process = context().Process(target=_work, args=work, daemon=True)
    process.start()
    return process


def _work(
    place: Path,
    env: dict[str, str],
    said: Path,
    function: Callable[..., object],
    args: tuple[Any, ...],
) -> None:
    os.chdir(place)
    os.environ.clear()
    os.environ.update(env)
    with said.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    function(*args)
